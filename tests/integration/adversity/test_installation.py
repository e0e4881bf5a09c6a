"""Parts of a running platform fail under turns: nothing is lost, and it is itself again after."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from o_platform.db.embedded import EmbeddedServer
from o_platform.images.build import ImageBuilder
from o_platform.images.engine import EngineClient
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.runtimes.docker import DockerRuntime
from o_platform.settings import Settings
from o_platform.testing.disk import filled
from o_platform.testing.openai_server import Garbage, Hang
from o_platform.testing.wire_formats import Reply

from .conftest import Installation, Load, until

pytestmark = pytest.mark.integration

GONE_S = 10.0
NOBODY = "agent-00000001-0000-4000-8000-000000000000"
HALF = b"\\ud800"


@pytest.mark.usefixtures("half_sent")
def test_bad_requests_are_refused_at_every_door(installed: Installation) -> None:
    with installed.client() as client:
        turn = f"/v1/agents/{NOBODY}/messages"
        for path in (turn, "/v1/agents", "/o/v1/lineages"):
            for body in (b"{", b"[]", b'{"name": 1, "input": 1}', b'{"name": "' + HALF + b'"}'):
                answer = client.post(
                    path, content=body, headers={"content-type": "application/json"}
                )
                assert (path, body, answer.status_code) == (path, body, 422)
            assert client.post(path, content=bytes(5 << 20)).status_code == 413
        assert client.post(turn, json={"input": "x"}).status_code == 404
        for path in (f"/v1/agents/{NOBODY}", "/o/v1/rollouts/nothing", "/o/v1/variants/abcdef"):
            answer = client.get(path)
            assert (path, answer.status_code, answer.json()["code"]) == (path, 404, "not_found")
        assert client.get("/v1/agents").json() == []


def test_a_model_that_hangs_lies_or_calls_what_is_not_there(installed: Installation) -> None:
    with installed.client() as client:
        agent = client.post("/v1/agents", json={"model": "local/gpt-test"}).json()["id"]

        def say(*answers: Any) -> httpx.Response:
            installed.provider.reset()
            installed.provider.play(*answers)
            return client.post(f"/v1/agents/{agent}/messages", json={"input": "hello"})

        # The gateway starts with the first call, which may take longer than a model may.
        until(lambda: say(Reply("ready")).status_code == 200)
        hung, garbled = say(Hang()), say(Garbage())
        assert (hung.status_code, hung.json()["code"]) == (504, "llm_timeout")
        assert (garbled.status_code, garbled.json()["code"]) == (502, "llm_error")
        told = say(Reply("", tool_calls=(("no_such_tool", "{}"),)), Reply("sorry"))
        assert told.status_code == 200, told.text
        returns = [m for m in told.json()["messages"] if m["message_type"] == "tool_return_message"]
        assert [one["status"] for one in returns] == ["error"]
        assert "no_such_tool" in returns[0]["tool_return"]
        listed = client.get(f"/v1/agents/{agent}/messages?limit=100").json()
        assert sum(one["message_type"] == "user_message" for one in listed) == 2


def test_postgres_gone_for_ten_seconds_in_the_middle_of_turns(
    installed: Installation, load: Load
) -> None:
    killed = installed.pid("postgres")
    os.kill(killed, signal.SIGKILL)
    until(lambda: installed.pid("postgres") not in (killed, 0))
    load.await_turns()
    frozen = processes_of(installed.pid("postgres"))
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    answered = load.answered.total()
    threading.Event().wait(GONE_S)  # The time itself is what is tested.
    assert load.answered.total() <= answered + 4
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    load.await_turns()
    assert load.refused == []


def test_a_full_disk_in_the_middle_of_turns(installed: Installation, load: Load) -> None:
    server = EmbeddedServer(installed.home / "pg", installed.run / "pg", installed.home / "cache")
    with installed.client() as client, psycopg.connect(server.url, autocommit=True) as watching:
        agent = client.post("/v1/agents", json={}).json()["id"]
        answers: list[httpx.Response] = []

        def say_much() -> None:
            body = {"input": os.urandom(500_000).hex()}
            answers.append(client.post(f"/v1/agents/{agent}/messages", json=body))

        saying = threading.Thread(target=say_much)
        with filled(installed.home):
            refused = rolled_back(watching)
            saying.start()
            until(lambda: rolled_back(watching) >= refused + 2)
            assert answers == []
        saying.join(60)
        assert answers[0].status_code == 200, answers[0].text
    load.await_turns()


def test_an_engine_that_goes_away_in_the_middle_of_a_rollout(
    installed: Installation, load: Load
) -> None:
    files = {**Genome.from_dir(seed_genome_dir()).files, "prompts/extra.md": b"Another one."}
    genome = Genome.from_files(files)
    with installed.client() as client:
        tar = {"content-type": "application/x-tar"}
        client.post("/o/v1/variants", content=genome.tar, headers=tar).raise_for_status()
        started = client.post("/o/v1/rollouts", json={"variant": genome.digest}).json()
        path = f"/o/v1/rollouts/{started['id']}"
        until(lambda: instances_of(client, genome.digest))
        installed.engine.cut()
        load.await_turns()
        aborted = client.post(f"{path}/abort")
        assert aborted.status_code == 200, aborted.text
        load.await_turns()
        installed.engine.open()
        until(lambda: client.get(path).json()["finished_at"])
        assert client.get(path).json()["state"] == "aborted"
        until(lambda: not instances_of(client, genome.digest))
        until(lambda: len(asyncio.run(containers(installed))) == 1)
    assert load.refused == []


def test_a_second_home_on_the_port_is_refused_and_the_first_goes_on(
    installed: Installation, load: Load
) -> None:
    second = installed.run.parent / "second"
    complaint = installed.o("up", code=1, O_HOME=f"{second}/h", O_RUN_DIR=f"{second}/r")
    assert f"port {installed.port} is in use by envoy" in complaint
    assert not (second / "r/supervisor.json").exists()
    load.await_turns()


def test_a_client_that_never_ends_its_headers_is_told_and_cut_off(half_sent: socket.socket) -> None:
    answer = b"".join(iter(lambda: half_sent.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"timeout"' in answer


def test_stale_locks_and_sockets_do_not_keep_it_from_starting(installed: Installation) -> None:
    innocent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    installed.o("down")
    stale = json.dumps(
        {"boot_id": boot_id(), "children": {"bridge": {"pid": innocent.pid, "started": 1}}}
    )
    for name, text in {
        "pids.json": stale, "supervisor.lock": str(innocent.pid), "start.lock": "junk",
        "bridge.lock": "", "supervisor.sock": "", "control.sock": "", "bridge.sock": "",
        "llm.sock": "", "pg/.s.PGSQL.5432": "", "pg/.s.PGSQL.5432.lock": str(innocent.pid),
    }.items():  # fmt: skip
        (installed.run / name).unlink(missing_ok=True)
        (installed.run / name).write_text(text)
    (installed.home / "pg/postmaster.pid").write_text(f"{innocent.pid}\n")
    assert "is up" in installed.o("up")
    with installed.client() as client:
        agent = client.post("/v1/agents", json={}).json()["id"]
        assert client.post(f"/v1/agents/{agent}/messages", json={"input": "x"}).status_code == 200
    assert innocent.poll() is None
    innocent.communicate(b"\n")


def processes_of(postmaster: int) -> list[int]:
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def rolled_back(connection: psycopg.Connection[Any]) -> int:
    query = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    ((count,),) = connection.execute(query).fetchall()
    return int(count)


def instances_of(client: httpx.Client, digest: str) -> list[str]:
    rows = client.get("/o/v1/instances?wanted=true").json()
    return [row["id"] for row in rows if row["variant"] == digest]


async def containers(installed: Installation) -> list[str]:
    settings = Settings(home=installed.home, run_dir=installed.run)
    engine = EngineClient()
    runtime = DockerRuntime(engine, ImageBuilder(engine, settings), settings)
    try:
        return [placement.instance_id for placement in await runtime.owned()]
    finally:
        await runtime.close()


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
