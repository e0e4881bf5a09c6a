"""A fleet on a real database, in each runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from o_platform.db.engine import Database
from o_platform.db.models import Event, Image, Instance
from o_platform.images.build import ImageBuilder
from o_platform.images.engine import EngineClient
from o_platform.images.genome import Genome
from o_platform.images.repository import create_lineage, save_variant
from o_platform.runtimes.docker import DockerRuntime
from o_platform.runtimes.fleet import Fleet
from o_platform.runtimes.folders import InstanceFolders
from o_platform.runtimes.process import ProcessRuntime
from o_platform.runtimes.protocol import Runtime
from o_platform.settings import Limits, Settings
from o_platform.testing import require

TINY_AGENT = (Path(__file__).parents[2] / "contract" / "runtimes" / "tiny_agent.py").read_text()
GENOME = Genome.from_files({"genome.toml": b""})
PROPOSED = Genome.from_files({"genome.toml": b"", "prompts/system.md": b"proposed"})


@dataclass(slots=True)
class House:
    """What a test has: a fleet, and a way to have another one later."""

    database: Database
    settings: Settings
    runtime: Runtime
    fleet: Fleet
    fleets: Callable[..., Fleet]

    async def row(self, instance_id: str) -> Instance:
        async with self.database.unit_of_work() as session:
            row = await session.get(Instance, instance_id, populate_existing=True)
        assert row is not None
        return row

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await condition():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def events(self, kind: str) -> list[Event]:
        async with self.database.unit_of_work() as session:
            return list(await session.scalars(select(Event).where(Event.kind == kind)))

    async def images(self) -> list[Image]:
        async with self.database.unit_of_work() as session:
            return list(await session.scalars(select(Image)))

    def folders(self) -> list[str]:
        return InstanceFolders(self.settings.run).known()


def open_runtime(name: str, settings: Settings) -> Runtime:
    if name == "process":
        return ProcessRuntime(settings)
    engine = EngineClient()
    return DockerRuntime(engine, ImageBuilder(engine, settings), settings)


@pytest.fixture(params=["process", "docker"])
async def house(
    request: pytest.FixtureRequest, short_tmp: Path, database: Database
) -> AsyncIterator[House]:
    if request.param == "docker":
        require("docker")
    settings = Settings(
        home=short_tmp / "h", run_dir=short_tmp / "r", limits=Limits(memory_bytes=64 << 20)
    )
    async with database.unit_of_work() as session:
        await create_lineage(session, "default", GENOME, "seed")
        await save_variant(session, PROPOSED, "machine")
    runtime = open_runtime(request.param, settings)

    def fleets(arguments: tuple[str, ...] = ("-c", TINY_AGENT), **options: Any) -> Fleet:
        return Fleet(
            database, runtime, settings, arguments=arguments, ready_timeout_s=30, **options
        )

    yield House(database, settings, runtime, fleets(), fleets)
    folders = InstanceFolders(settings.run)
    for placement in await runtime.owned():
        await runtime.remove(placement)
    for instance_id in folders.known():
        folders.remove(instance_id)
    await runtime.close()
