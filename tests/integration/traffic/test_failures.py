"""Instances die, hang, or are sent too much: what the client sees, and what the log says."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from o_platform.traffic.snapshot import Canary, Endpoint
from o_platform.traffic.upstream_log import Observation, UpstreamLog

pytestmark = pytest.mark.integration


@contextmanager
def zygote(socket: Path) -> Iterator[None]:
    socket.parent.mkdir(parents=True, exist_ok=True)
    program = Path(__file__).with_name("zygote.py")
    process = subprocess.Popen([sys.executable, program, socket], start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _zygote_socket(edge: Any) -> Path:
    return edge.settings.run / "instances" / "zygote000000" / "in" / "agent.sock"


def _worker(socket: Path) -> Any:
    file = Path(f"{socket}.pid")
    return int(file.read_text()) if file.exists() else None


async def _left_out(edge: Any, cluster: str) -> None:
    pattern = rf"^cluster\.{cluster}-.*\.membership_healthy$"
    async with asyncio.timeout(30):
        while set((await edge.envoy.admin.stats(pattern)).values()) != {"1"}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _follow(log: UpstreamLog, count: int) -> list[Observation]:
    found: list[Observation] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await log.read_new()
            await asyncio.sleep(0.01)
    return found


def _log(edge: Any) -> UpstreamLog:
    return UpstreamLog(Path(edge.envoy.paths.upstream_log), edge.envoy.admin)


async def test_a_lone_instance_is_killed_five_times_under_load_and_no_request_fails(
    edge: Any,
) -> None:
    socket = _zygote_socket(edge)
    with zygote(socket):
        await edge.until(lambda: _worker(socket) is not None, within_s=20)
        await edge.serve(
            edge.lineage(stable=(Endpoint("zygote000000", "a" * 64, str(socket)),), observed=True)
        )
        log = _log(edge)
        statuses: Counter[int] = Counter()
        done = asyncio.Event()

        async def load() -> None:
            async with edge.client() as client:
                while not done.is_set():
                    statuses[(await client.post(edge.turn(), json={})).status_code] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(load())
            for _ in range(5):
                served = statuses.total()
                await edge.until(lambda served=served: statuses.total() > served + 100)
                victim = _worker(socket)
                os.kill(victim, signal.SIGKILL)
                await edge.until(lambda victim=victim: _worker(socket) != victim, within_s=20)
            done.set()
        seen = await _follow(log, statuses.total())
    assert set(statuses) == {200}
    assert sum(observation.died for observation in seen) >= 5
    assert all(observation.instance_id == "zygote000000" for observation in seen)


async def test_a_canary_that_dies_on_a_request_does_not_fail_its_client(edge: Any) -> None:
    await edge.serve(edge.lineage(canary=edge.canary(1000), observed=True))
    log = _log(edge)
    async with edge.client() as client:
        path = edge.turn()
        started = time.perf_counter()
        answer = await client.post(path, headers={"x-test": "die-on-canary"})
        took_s = time.perf_counter() - started
    assert (answer.status_code, answer.json()["backend"]) == (200, "stable")
    assert took_s < 0.2
    death, rescue = await _follow(log, 2)
    assert death.instance_id == edge.endpoint("canary").instance_id
    assert (death.status, death.died, death.attempt) == (0, True, 1)
    assert rescue.instance_id == edge.endpoint("stable").instance_id
    assert (rescue.status, rescue.died, rescue.attempt) == (200, False, 2)
    assert rescue.cluster == death.cluster
    assert rescue.cluster.startswith("canary-")
    assert death.request_id == rescue.request_id == answer.headers["x-request-id"]
    assert death.routing_key == path.removeprefix("/v1/agents/agent-")[:13]


async def test_a_canary_that_is_gone_is_left_out(edge: Any) -> None:
    await edge.serve(edge.lineage(canary=edge.canary(1000)))
    await edge.instances["canary"].stop()
    async with edge.client() as client:
        for _ in range(50):
            answer = await client.post(edge.turn())
            assert (answer.status_code, answer.json()["backend"]) == (200, "stable")


async def test_a_hanging_canary_gets_nothing_new_and_its_turn_is_retried_when_it_is_killed(
    edge: Any,
) -> None:
    socket = _zygote_socket(edge)
    async with edge.client() as client, asyncio.TaskGroup() as group:
        with zygote(socket):
            await edge.until(lambda: _worker(socket) is not None, within_s=20)
            hung = Endpoint("zygote000000", "a" * 64, str(socket))
            await edge.serve(edge.lineage(canary=Canary(hung, 1000)))
            first = await client.post(edge.turn())
            os.kill(_worker(socket), signal.SIGSTOP)
            waiting = group.create_task(client.post(edge.turn()))
            await _left_out(edge, "canary-zygote000000")
            new = await client.post(edge.turn())
            assert not waiting.done()
            os.kill(_worker(socket), signal.SIGKILL)
            retried = await waiting
    assert first.json()["backend"].startswith("worker")
    assert (new.status_code, new.json()["backend"]) == (200, "stable")
    assert (retried.status_code, retried.json()["backend"]) == (200, "stable")


async def test_an_instances_own_errors_are_passed_on_and_logged(edge: Any) -> None:
    log = _log(edge)
    async with edge.client() as client:
        unavailable = await client.post(edge.turn(), headers={"x-test": "unavailable"})
        dead = await client.post(edge.turn(), headers={"x-test": "die"})
    assert unavailable.status_code == 503
    assert unavailable.json()["backend"] == "stable"
    assert dead.status_code == 503
    assert "try again" in dead.json()["detail"]
    assert dead.json()["code"] == "unavailable"
    seen = await _follow(log, 18)
    assert [observation.status for observation in seen] == [503] + 17 * [0]
    assert [observation.attempt for observation in seen[1:]] == list(range(1, 18))


async def test_a_broken_answer_counts_as_a_death_and_a_cancelled_request_does_not(
    edge: Any,
) -> None:
    await edge.serve(edge.lineage(observed=True))
    log = _log(edge)
    async with edge.client() as client:
        with pytest.raises(Exception, match="peer closed|incomplete"):
            await client.post(edge.turn(), headers={"x-test": "cut"})
        seen = edge.instances["stable"].seen
        before = len(seen)
        frozen = asyncio.create_task(client.post(edge.turn(), headers={"x-test": "frozen"}))
        await edge.until(lambda: len(seen) > before)
        frozen.cancel()
        await asyncio.gather(frozen, return_exceptions=True)
    broken, cancelled = await _follow(log, 2)
    assert (broken.status, broken.died, broken.cancelled) == (0, True, False)
    assert (cancelled.status, cancelled.died, cancelled.cancelled) == (0, False, True)


async def test_the_largest_body_is_retried_whole(edge: Any) -> None:
    await edge.serve(edge.lineage(canary=edge.canary(1000)))
    body = os.urandom(edge.settings.max_body_bytes)
    async with edge.client() as client:
        answer = await client.post(edge.turn(), content=body, headers={"x-test": "die-on-canary"})
    assert (answer.status_code, answer.json()["backend"]) == (200, "stable")
    assert edge.instances["stable"].seen[-1].body == body


@pytest.mark.parametrize("excess", [1, 2 * 1024 * 1024])
async def test_a_body_over_the_limit_is_refused(edge: Any, excess: int) -> None:
    body = bytes(edge.settings.max_body_bytes + excess)
    async with edge.client() as client:
        answers = [await client.post(path, content=body) for path in (edge.turn(), "/v1/agents/")]
    for answer in answers:
        assert answer.status_code == 413
        assert answer.json()["code"] == "too_large"
        assert str(edge.settings.max_body_bytes) in answer.json()["detail"]
    assert edge.control.seen == []


async def test_an_upload_may_be_larger(edge: Any) -> None:
    body = os.urandom(edge.settings.max_body_bytes + 1)
    async with edge.client() as client:
        answer = await client.post("/v1/agents/import", content=body)
    assert answer.status_code == 200
    assert edge.control.seen[-1].body == body


async def test_a_huge_body_is_refused_before_it_is_all_sent(edge: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.settings.listen_port)
    head = f"POST {edge.turn()} HTTP/1.1\r\nhost: o\r\ncontent-length: {10**12}\r\n\r\n"
    writer.write(head.encode() + bytes(edge.settings.max_body_bytes + 1))
    async with asyncio.timeout(30):
        assert await reader.readline() == b"HTTP/1.1 413 Payload Too Large\r\n"
    writer.close()
    await writer.wait_closed()
