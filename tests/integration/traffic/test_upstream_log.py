"""The log of attempts, written by a real Envoy."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from o_platform.traffic.upstream_log import Observation, UpstreamLog

pytestmark = pytest.mark.integration


def _log(edge: Any, **options: Any) -> UpstreamLog:
    return UpstreamLog(Path(edge.envoy.paths.upstream_log), edge.envoy.admin, **options)


async def _follow(log: UpstreamLog, count: int) -> list[Observation]:
    found: list[Observation] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await log.read_new()
            await asyncio.sleep(0.01)
    return found


async def test_only_observed_routes_log_what_went_well(edge: Any) -> None:
    log = _log(edge)
    async with edge.client() as client:
        await client.post(edge.turn())
        await client.post(edge.turn(), headers={"x-test": "unavailable"})
        await edge.serve(edge.lineage(observed=True))
        path = edge.turn()
        good = await client.post(path)
    failed, seen = await _follow(log, 2)
    assert failed.status == 503
    assert seen.status == 200
    assert seen.cluster.startswith("stable-00000001-")
    assert seen.instance_id == edge.endpoint("stable").instance_id
    assert seen.request_id == good.headers["x-request-id"]
    assert seen.routing_key == path.removeprefix("/v1/agents/agent-")[:13]
    assert (seen.mirrored, seen.died, seen.cancelled) == (False, False, False)
    assert 0 < (seen.first_byte_us or 0) <= (seen.duration_us or 0) < 2_000_000
    assert abs(datetime.now(UTC) - seen.at) < timedelta(seconds=30)


async def test_copies_are_logged_with_what_became_of_them(edge: Any) -> None:
    await edge.serve(edge.lineage(shadow=edge.shadow(1000)))
    log = _log(edge)
    async with edge.client() as client:
        ids = [
            (await client.post(edge.turn(), headers=headers)).headers["x-request-id"]
            for headers in ({}, {"x-test": "die-on-shadow"}, {"x-test": "cut-on-shadow"})
        ]
    seen = {observation.request_id: observation for observation in await _follow(log, 3)}
    assert [seen[request_id].died for request_id in ids] == [False, True, True]
    assert all(observation.mirrored for observation in seen.values())
    shadow = edge.endpoint("shadow").instance_id
    assert {observation.instance_id for observation in seen.values()} == {shadow}


async def test_benches_are_always_observed(edge: Any) -> None:
    bench = edge.endpoint("bench")
    await edge.serve(benches=(bench,))
    log = _log(edge)
    async with edge.client(internal=True) as client:
        await client.post(edge.turn(), headers={"x-o-instance": bench.instance_id})
    (seen,) = await _follow(log, 1)
    assert (seen.instance_id, seen.status) == (bench.instance_id, 200)


async def test_nothing_is_lost_or_read_twice_over_rotations_and_restarts(edge: Any) -> None:
    await edge.serve(edge.lineage(observed=True))
    log = _log(edge, max_bytes=20_000)
    path = Path(edge.envoy.paths.upstream_log)
    seen: list[str] = []
    sent: list[str] = []
    async with edge.client() as client:
        for round_number in range(6):
            for _ in range(60):
                sent.append((await client.post(edge.turn())).headers["x-request-id"])
            seen += [observation.request_id for observation in await log.read_new()]
            if round_number % 2:
                log = _log(edge, max_bytes=20_000, start=log.position)
    seen += [observation.request_id for observation in await _follow(log, 360 - len(seen))]
    assert sorted(seen) == sorted(sent)
    await edge.until(lambda: path.stat().st_size < 60_000)


async def test_a_new_follower_starts_at_the_end(edge: Any) -> None:
    await edge.serve(edge.lineage(observed=True))
    async with edge.client() as client:
        await client.post(edge.turn())
        path = Path(edge.envoy.paths.upstream_log)
        await edge.until(lambda: path.stat().st_size > 0)
        log = _log(edge)
        last = (await client.post(edge.turn())).headers["x-request-id"]
    assert [observation.request_id for observation in await _follow(log, 1)] == [last]
