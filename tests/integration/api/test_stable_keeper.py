"""One stable instance of every lineage, kept by the real fleet on plain processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from o_platform.api.operators.repository import recent_failures
from o_platform.db.engine import CHANNEL_INSTANCES, CHANNEL_ROUTES, Database
from o_platform.db.hearing import Hearing
from o_platform.db.models import Event, Instance, Rollout
from o_platform.images.genome import Genome
from o_platform.images.repository import create_lineage, save_variant, set_status
from o_platform.runtimes.fleet import Fleet
from o_platform.runtimes.folders import InstanceFolders
from o_platform.runtimes.process import ProcessRuntime
from o_platform.settings import Limits, Settings
from o_platform.wiring.stable import StableKeeper, fetch_due

pytestmark = pytest.mark.integration

TINY_AGENT = (Path(__file__).parents[2] / "contract" / "runtimes" / "tiny_agent.py").read_text()
FIRST = Genome.from_files({"genome.toml": b""})
SECOND = Genome.from_files({"genome.toml": b"", "prompts/system.md": b"second"})


@pytest.fixture
async def fleet(short_tmp: Path, database: Database) -> AsyncIterator[Fleet]:
    settings = Settings(
        home=short_tmp / "h", run_dir=short_tmp / "r", limits=Limits(memory_bytes=64 << 20)
    )
    runtime = ProcessRuntime(settings)
    yield Fleet(database, runtime, settings, arguments=("-c", TINY_AGENT), ready_timeout_s=30)
    for placement in await runtime.owned():
        await runtime.remove(placement)
    folders = InstanceFolders(settings.run)
    for instance_id in folders.known():
        folders.remove(instance_id)
    await runtime.close()


@pytest.fixture
async def hearing(database: Database) -> AsyncIterator[Hearing]:
    hearing = Hearing(database.url, CHANNEL_INSTANCES, CHANNEL_ROUTES)
    task = asyncio.create_task(hearing.run())
    yield hearing
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_keeps_one_ready(database: Database, hearing: Hearing, fleet: Fleet) -> None:
    async with database.unit_of_work() as session:
        await create_lineage(session, "default", FIRST, "seed")
        await save_variant(session, SECOND, "operator")
    keeping = asyncio.create_task(StableKeeper(database, hearing, fleet).run())
    try:
        first = await _ready(fleet, FIRST.digest)
        await fleet.retire(first)
        assert await _ready(fleet, FIRST.digest) != first
        # A lineage made while it runs is served at once: it is announced.
        async with database.unit_of_work() as session:
            await create_lineage(session, "other", SECOND, "operator")
        await _ready(fleet, SECOND.digest)
        # A variant made stable by hand replaces the former one.
        async with database.unit_of_work() as session:
            await set_status(session, "default", SECOND.digest, "stable")
        await _until(lambda: _variants(fleet), {SECOND.digest})
        assert len(await fleet.list("default")) == 1
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_leaves_a_rollout_alone(database: Database) -> None:
    async with database.unit_of_work() as session:
        await create_lineage(session, "default", FIRST, "seed")
        await save_variant(session, SECOND, "operator")
        for number, genome in enumerate((FIRST, SECOND)):
            session.add(
                Instance(
                    id=f"{number:012x}", lineage="default", variant=genome.digest, role="stable",
                    runtime="process", status="ready", limits={},
                )
            )  # fmt: skip
        rollout = Rollout(
            id="rollout-1", lineage="default", variant=SECOND.digest, baseline=FIRST.digest,
            policy={}, state="promoting", reason="r", message="m", created_by="me",
        )  # fmt: skip
        session.add(rollout)
        await session.flush()
        assert (await fetch_due(session)).superfluous == []
        await session.delete(rollout)
        await session.flush()
        due = await fetch_due(session)
        assert (due.missing, due.superfluous) == ([], [f"{1:012x}"])


async def test_says_why_there_is_none(
    database: Database, hearing: Hearing, short_tmp: Path
) -> None:
    settings = Settings(home=short_tmp / "h", run_dir=short_tmp / "r")
    runtime = ProcessRuntime(settings)
    broken = Fleet(database, runtime, settings, arguments=("-c", "exit(3)"), ready_timeout_s=2)
    async with database.unit_of_work() as session:
        await create_lineage(session, "default", FIRST, "seed")
    keeping = asyncio.create_task(StableKeeper(database, hearing, broken).run())
    try:
        await _until(lambda: _complaints(database), {"default"})
        assert not keeping.done()
        async with database.unit_of_work() as session:
            failures = await recent_failures(session, timedelta(minutes=2))
            assert await recent_failures(session, timedelta(0)) == {}
        assert "it exited with 3" in failures["default"]
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await runtime.close()


async def _ready(fleet: Fleet, variant: str) -> str:
    async with asyncio.timeout(60):
        while True:
            for view in await fleet.list():
                if view.variant == variant and view.status == "ready":
                    return view.id
            await asyncio.sleep(0.02)


async def _until(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    async with asyncio.timeout(60):
        while (seen := await look()) != wanted:
            _ = seen
            await asyncio.sleep(0.02)


async def _variants(fleet: Fleet) -> set[str]:
    return {view.variant for view in await fleet.list()}


async def _complaints(database: Database) -> set[str]:
    wanted = select(Event.subject).where(Event.kind == "stable_missing")
    async with database.unit_of_work() as session:
        return set(await session.scalars(wanted))
