"""Configurations come into force, are refused, survive Envoy."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import statistics
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from o_platform.errors import TrafficError
from o_platform.traffic.delivery import Delivery, validate
from o_platform.traffic.render import render
from o_platform.traffic.snapshot import Canary, LineageRoutes

pytestmark = pytest.mark.integration


async def _served_by(edge: Any) -> str:
    async with edge.client() as client:
        answer = await client.post(edge.turn())
    return str(answer.json().get("backend", answer.json()))


async def test_what_was_delivered_is_in_force_for_connections_that_are_open(edge: Any) -> None:
    took_ms = []
    async with edge.client() as client:
        for round_number in range(40):
            weight = 1000 * (round_number % 2)
            started = time.perf_counter()
            await edge.serve(edge.lineage(canary=edge.canary(weight)))
            took_ms.append((time.perf_counter() - started) * 1000)
            answer = await client.post(edge.turn())
            assert answer.json()["backend"] == ("canary" if weight else "stable")
    assert statistics.median(took_ms) < 50


async def test_changing_everything_under_load_fails_no_request(edge: Any) -> None:
    statuses: set[int] = set()
    count = 0
    done = asyncio.Event()

    async def load() -> None:
        nonlocal count
        async with edge.client() as client:
            while not done.is_set():
                statuses.add((await client.post(edge.turn(), json={})).status_code)
                count += 1

    def promoted(name: str) -> LineageRoutes:
        return edge.lineage(stable=(edge.endpoint(name),))

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(load())
        for first, second in [("stable", "canary"), ("canary", "other"), ("other", "stable")] * 3:
            for weight in (50, 500):
                canary = Canary(edge.endpoint(second), weight)
                await edge.serve(replace(promoted(first), canary=canary))
            await edge.serve(promoted(second))
        done.set()
    assert count > 50
    assert statuses == {200}


async def test_an_answer_under_way_outlives_its_cluster(edge: Any) -> None:
    async with edge.client() as client, asyncio.TaskGroup() as group:
        waiting = group.create_task(client.post(edge.turn(), headers={"x-test": "slow"}))
        await edge.until(lambda: len(edge.instances["stable"].seen) == 1)
        await edge.serve(edge.lineage(stable=(edge.endpoint("other"),)))
        assert await _served_by(edge) == "other"
    assert (waiting.result().status_code, waiting.result().json()["backend"]) == (200, "stable")


@pytest.mark.parametrize("kind", ["lds", "rds", "cds"])
async def test_a_refused_configuration_changes_nothing(edge: Any, kind: str) -> None:
    before = {name: _file(edge, name) for name in ("lds", "rds", "cds")}
    good = render(replace(edge.snapshot, revoked=frozenset({"key-1"}), max_body_bytes=4096))
    bad = json.loads(getattr(good, kind))
    bad["resources"][0]["nonsense"] = True
    bad["version_info"] = "bad"
    with pytest.raises(TrafficError, match="nonsense") as caught:
        await edge.delivery.deliver(replace(good, **{kind: json.dumps(bad)}))
    assert "still in force" in caught.value.message
    assert {name: _file(edge, name) for name in before} == before
    assert await _served_by(edge) == "stable"
    await edge.serve(edge.lineage(stable=(edge.endpoint("other"),)))
    assert await _served_by(edge) == "other"


async def test_a_taken_port_is_named(edge: Any) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TrafficError, match="Address already in use"):
            await edge.serve(listener=replace(edge.snapshot.listener, port=port))
    assert await _served_by(edge) == "stable"


async def test_a_killed_envoy_comes_back_with_the_same_routes(edge: Any) -> None:
    await edge.serve(edge.lineage(stable=(edge.endpoint("other"),)))
    edge.envoy.stop(signal.SIGKILL)
    delivery = Delivery(edge.envoy.paths, edge.envoy.admin, confirm_s=0.2)
    with pytest.raises(TrafficError, match="does not answer"):
        await delivery.deliver(render(replace(edge.snapshot, lineages=(edge.lineage(),))))
    await edge.envoy.start()
    await edge.delivery.deliver(render(replace(edge.snapshot, lineages=(edge.lineage(),))))
    assert await _served_by(edge) == "stable"


async def test_a_drained_envoy_finishes_what_it_has(edge: Any) -> None:
    async with edge.client() as client, asyncio.TaskGroup() as group:
        waiting = group.create_task(client.post(edge.turn(), headers={"x-test": "slow"}))
        await edge.until(lambda: len(edge.instances["stable"].seen) == 1)
        await edge.envoy.admin.drain()
    assert waiting.result().status_code == 200


async def test_many_lineages_are_delivered_and_found(edge: Any) -> None:
    others = [
        edge.lineage(key=key, name=f"l{key}", stable=(edge.endpoint("other"),))
        for key in range(2, 302)
    ]
    await edge.serve(edge.lineage(), *others)
    async with edge.client() as client:
        assert (await client.post(edge.turn(301))).json()["backend"] == "other"
    assert await validate(render(edge.snapshot)) is None


def _file(edge: Any, kind: str) -> str:
    return Path(edge.envoy.paths.resource(kind)).read_text()
