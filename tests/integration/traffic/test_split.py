"""The split by agent, and the mirror."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.integration


async def test_the_split_is_sticky_and_grows_monotonically(edge: Any) -> None:
    paths = [edge.turn() for _ in range(1500)]

    async def on_canary(permille: int, paths: list[str]) -> set[str]:
        await edge.serve(edge.lineage(canary=edge.canary(permille)))
        edge.instances["canary"].seen.clear()
        async with edge.client() as client, asyncio.TaskGroup() as group:
            await edge.until_healthy()
            slots = asyncio.Semaphore(16)

            async def post(path: str) -> None:
                async with slots:
                    assert (await client.post(path)).status_code == 200

            for path in paths:
                group.create_task(post(path))
        return {request.path for request in edge.instances["canary"].seen}

    at_10_percent = await on_canary(100, paths)
    again = await on_canary(100, paths[:300])
    at_30_percent = await on_canary(300, paths)
    assert 0.07 < len(at_10_percent) / len(paths) < 0.13
    assert again == at_10_percent & set(paths[:300])
    assert 0.26 < len(at_30_percent) / len(paths) < 0.34
    assert at_10_percent <= at_30_percent
    assert await on_canary(0, paths[:300]) == set()
    assert await on_canary(1000, paths[:300]) == set(paths[:300])


async def test_an_agent_keeps_its_side_on_every_route(edge: Any) -> None:
    await edge.serve(edge.lineage(canary=edge.canary(500)))
    async with edge.client() as client:
        for _ in range(30):
            path = edge.turn()
            answers = [await client.post(path + tail) for tail in ("", "/stream", "?page=2")]
            assert len({answer.json()["backend"] for answer in answers}) == 1


async def test_a_shadow_gets_copies_that_look_like_the_originals(edge: Any) -> None:
    await edge.serve(edge.lineage(shadow=edge.shadow(1000)))
    async with edge.client() as client:
        for _ in range(20):
            answer = await client.post(edge.turn(), json={"input": "hello"})
            assert answer.json()["backend"] == "stable"
    seen, copies = edge.instances["stable"].seen, edge.instances["shadow"].seen
    await edge.until(lambda: len(copies) == 20)
    originals = {request.headers["x-request-id"]: request for request in seen}
    for copy in copies:
        assert copy == originals[copy.headers["x-request-id"]]


async def test_the_mirror_takes_its_share_and_a_frozen_shadow_holds_few(edge: Any) -> None:
    await edge.serve(edge.lineage(shadow=edge.shadow(250)))
    frozen = {"x-test": "frozen-on-shadow"}
    async with edge.client() as client:
        for _ in range(400):
            assert (await client.post(edge.turn())).status_code == 200
        share = len(edge.instances["shadow"].seen)
        await edge.serve(edge.lineage(shadow=edge.shadow(1000)))
        edge.instances["shadow"].seen.clear()
        # No original waits for its copy: those are never answered.
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(client.post(edge.turn(), headers=frozen))
    assert 60 < share < 140
    assert 1 <= len(edge.instances["shadow"].seen) <= 8
