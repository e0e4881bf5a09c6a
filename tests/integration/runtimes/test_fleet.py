"""Instances from their rows to their end, in each runtime."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from o_platform.errors import ForbiddenError, NotFoundError, NotReadyError
from o_platform.runtimes.fleet import Fleet
from o_platform.runtimes.keeper import placement_of
from o_platform.runtimes.protocol import Usage
from o_platform.runtimes.readiness import not_ready_because
from o_platform.runtimes.repository import DIED, FAILED, OOM

from .conftest import GENOME, PROPOSED, House

pytestmark = pytest.mark.integration

ONLY_DOCKER = pytest.mark.parametrize("house", ["docker"], indirect=True)


async def ask(socket: Any, path: str) -> Any:
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, timeout=10) as client:
        return (await client.get(f"http://o{path}")).json()


@asynccontextmanager
async def watching(fleet: Fleet) -> AsyncIterator[None]:
    task = asyncio.create_task(fleet.watch())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_instance_from_its_start_to_its_end(house: House) -> None:
    fleet = house.fleet
    view = await fleet.ensure("default", GENOME.digest, "stable")
    assert (view.status, view.role, view.detail) == ("ready", "stable", None)
    assert (await ask(view.agent_socket, "/facts"))["genome"] == ["genome.toml"]
    assert [each.id for each in await fleet.list("default")] == [view.id]
    assert (await fleet.usage(view.id)).memory_bytes > 1 << 20
    assert "listening" in await fleet.logs(view.id)
    images = await house.images()
    assert [i.variant for i in images] == (
        [GENOME.digest] if house.runtime.name == "docker" else []
    )

    await fleet.retire(view.id, grace_s=3)
    await fleet.retire(view.id)
    row = await house.row(view.id)
    assert (row.status, row.wanted) == ("stopped", False)
    assert await house.runtime.owned() == []
    assert house.folders() == []
    assert await fleet.list() == []
    assert await fleet.usage(view.id) == Usage()
    assert "listening" in await fleet.logs(view.id)


async def test_the_same_need_is_met_by_one_instance(house: House) -> None:
    fleet = house.fleet
    twice = [fleet.ensure("default", GENOME.digest, "stable") for _ in range(2)]
    first, second = await asyncio.gather(*twice)
    assert first.id == second.id
    fresh = await fleet.ensure("default", GENOME.digest, "stable", fresh=True)
    other = await fleet.ensure("default", GENOME.digest, "bench", rollout_id="r")
    assert len({first.id, fresh.id, other.id}) == 3
    assert (await fleet.ensure("default", GENOME.digest, "bench", rollout_id="r")).id == other.id


async def test_changes_are_announced_to_bridge_and_routes(house: House) -> None:
    url = house.database.url
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as listener:
        await listener.execute("LISTEN o_instances")
        await listener.execute("LISTEN o_routes")
        view = await house.fleet.ensure("default", GENOME.digest, "stable")
        wanted, heard = {("o_instances", view.id), ("o_routes", "default")}, set()
        async with aclosing(listener.notifies(timeout=15)) as announced:
            async for one in announced:
                heard.add((one.channel, one.payload))
                if heard >= wanted:
                    break
    assert heard == wanted


async def test_what_does_not_start_leaves_a_row_that_says_why(house: House) -> None:
    broken = house.fleets(("-c", "print('no luck'); raise SystemExit(78)"))
    with pytest.raises(NotReadyError) as caught:
        await broken.ensure("default", GENOME.digest, "canary")
    assert "exited with 78" in caught.value.message
    assert "no luck" in caught.value.message
    row = await house.row(caught.value.detail["instance"])
    assert (row.status, row.wanted) == ("failed", False)
    assert row.detail == caught.value.message
    assert [e.subject for e in await house.events(FAILED)] == [row.id]
    assert await house.runtime.owned() == []
    assert house.folders() == []
    assert "no luck" in await broken.logs(row.id)


async def test_what_never_gets_ready_is_ended(house: House) -> None:
    runs = ("-c", "while True: pass")
    endless = Fleet(
        house.database, house.runtime, house.settings, arguments=runs, ready_timeout_s=0.5
    )
    with pytest.raises(NotReadyError, match=r"is not ready"):
        await endless.ensure("default", GENOME.digest, "canary")
    (event,) = await house.events(FAILED)
    assert (await house.row(event.subject)).status == "failed"
    assert await house.runtime.owned() == []
    assert house.folders() == []


async def test_what_it_prints_cannot_keep_its_end_from_being_recorded(house: House) -> None:
    noise = "print('\\0\\x1b[31m' + 'x' * 100_000 + 'the end'); raise SystemExit(78)"
    with pytest.raises(NotReadyError):
        await house.fleets(("-c", noise)).ensure("default", GENOME.digest, "canary")
    (event,) = await house.events(FAILED)
    row = await house.row(event.subject)
    assert row.status == "failed"
    assert row.detail.endswith("the end")
    assert len(row.detail) < 5000


async def test_what_it_left_in_place_of_its_socket_does_not_stop_the_next_start(
    house: House,
) -> None:
    view = await house.fleet.ensure("default", GENOME.digest, "stable")
    placement = placement_of(await house.row(view.id))
    assert placement is not None
    view.agent_socket.unlink()
    (view.agent_socket / "junk").mkdir(parents=True)
    await house.runtime.remove(placement)
    assert (await house.fleets().adopt()).started == [view.id]
    assert await ask(view.agent_socket, "/healthz") == {}


async def test_an_interrupted_start_leaves_nothing(house: House) -> None:
    slow = house.fleets(("-c", "import time; time.sleep(60)"))
    starting = asyncio.create_task(slow.ensure("default", GENOME.digest, "canary"))

    async def has_begun() -> bool:
        return bool(await house.runtime.owned())

    await house.until(has_begun)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await house.runtime.owned() == []
    assert await house.fleet.list() == []
    assert house.folders() == []


async def test_a_proposed_genome_does_not_run_without_a_container(house: House) -> None:
    if house.runtime.name == "docker":
        assert (await house.fleet.ensure("default", PROPOSED.digest, "bench")).status == "ready"
        return
    with pytest.raises(ForbiddenError):
        await house.fleet.ensure("default", PROPOSED.digest, "bench")
    assert house.folders() == []


async def test_what_runs_is_adopted_and_strangers_are_removed(house: House) -> None:
    kept = await house.fleet.ensure("default", GENOME.digest, "stable")
    gone = await house.fleet.ensure("default", GENOME.digest, "canary")
    bench = await house.fleet.ensure("default", GENOME.digest, "bench")
    stranger = await house.fleet.ensure("default", GENOME.digest, "shadow")
    for lost in (gone, bench):
        placement = placement_of(await house.row(lost.id))
        assert placement is not None
        await house.runtime.remove(placement)
    async with house.database.unit_of_work() as session:
        await session.delete(await house.row(stranger.id))

    report = await house.fleets().adopt()
    assert (report.kept, report.started) == ([kept.id], [gone.id])
    assert (report.failed, report.removed) == ([bench.id], [stranger.id])
    assert {p.instance_id for p in await house.runtime.owned()} == {kept.id, gone.id}
    assert house.folders() == sorted([kept.id, gone.id])
    assert (await house.row(gone.id)).status == "ready"
    assert (await house.row(bench.id)).status == "failed"


async def test_a_stable_instance_that_died_is_started_again(house: House) -> None:
    view = await house.fleet.ensure("default", GENOME.digest, "stable")
    bridge_folder = os.stat(view.bridge_socket.parent).st_ino
    first = (await house.row(view.id)).handle

    async def is_back() -> bool:
        row = await house.row(view.id)
        ready = await not_ready_because(view.agent_socket, house.runtime.uid) is None
        return row.handle != first and ready

    async with watching(house.fleet):
        placement = placement_of(await house.row(view.id))
        assert placement is not None
        await house.runtime.remove(placement)
        await house.until(is_back)
    (event,) = await house.events(DIED)
    assert event.subject == view.id
    assert event.data["fate"] == "started again"
    assert await ask(view.agent_socket, "/healthz") == {}
    assert os.stat(view.bridge_socket.parent).st_ino == bridge_folder


async def test_a_canary_that_died_for_good_is_failed(house: House) -> None:
    view = await house.fleet.ensure("default", GENOME.digest, "canary")
    async with watching(house.fleet):
        placement = placement_of(await house.row(view.id))
        assert placement is not None
        await house.runtime.remove(placement)

        async def is_failed() -> bool:
            return (await house.row(view.id)).status == "failed"

        await house.until(is_failed)
    assert "exited with 137" in (await house.row(view.id)).detail


@ONLY_DOCKER
async def test_running_out_of_memory_is_recorded_and_the_engine_restarts(house: House) -> None:
    view = await house.fleet.ensure("default", GENOME.digest, "canary")
    async with watching(house.fleet):
        with pytest.raises(httpx.HTTPError):
            await ask(view.agent_socket, "/eat")

        async def is_recorded() -> bool:
            return bool(await house.events(OOM)) and bool(await house.events(DIED))

        await house.until(is_recorded)
        again = await house.fleet.ensure("default", GENOME.digest, "canary")
    assert again.id == view.id
    assert "memory ran out at 64 MiB" in (await house.events(OOM))[0].message
    usage = await house.fleet.usage(view.id)
    assert usage.oom_kills >= 1
    assert usage.restarts == 1
    assert (await house.row(view.id)).status == "ready"


async def test_what_nobody_knows(house: House) -> None:
    with pytest.raises(NotFoundError):
        await house.fleet.ensure("default", "0" * 64, "stable")
    with pytest.raises(NotFoundError):
        await house.fleet.retire("0" * 12)
    assert house.folders() == []
