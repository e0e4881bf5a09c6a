"""The engine goes away and comes back, as the platform sees it through a socket of our own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from o_platform.errors import EngineUnavailableError
from o_platform.images.build import ImageBuilder
from o_platform.images.engine import EngineClient
from o_platform.runtimes.docker import DockerRuntime
from o_platform.runtimes.fleet import Fleet
from o_platform.runtimes.keeper import placement_of
from o_platform.runtimes.readiness import not_ready_because
from o_platform.testing import require

from .conftest import GENOME, TINY_AGENT, House

pytestmark = pytest.mark.integration

ENGINE = "/var/run/docker.sock"


class Relay:
    """Passes bytes between a socket of its own and the engine's, until it is cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        self.path.unlink()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE)
        self._writers += [writer, engine_writer]
        for source, target in ((reader, engine_writer), (engine_reader, writer)):
            self._tasks.append(asyncio.create_task(self._pass_on(source, target)))

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            target.write(data)
        target.close()


@pytest.mark.parametrize("house", ["docker"], indirect=True)
async def test_what_happened_while_the_engine_was_away_is_put_right(
    house: House, short_tmp: Path
) -> None:
    require("docker")
    relay = Relay(short_tmp / "engine.sock")
    await relay.open()
    engine = EngineClient(f"unix://{relay.path}")
    runtime = DockerRuntime(engine, ImageBuilder(engine, house.settings), house.settings)
    fleet = Fleet(house.database, runtime, house.settings, arguments=("-c", TINY_AGENT))
    view = await fleet.ensure("default", GENOME.digest, "stable")
    first = placement_of(await house.row(view.id))
    assert first is not None
    watching = asyncio.create_task(fleet.watch())
    await relay.cut()
    with pytest.raises(EngineUnavailableError):
        await runtime.owned()
    await house.runtime.remove(first)
    await relay.open()

    async def is_back() -> bool:
        row = await house.row(view.id)
        ready = await not_ready_because(view.agent_socket, runtime.uid) is None
        return row.handle != first.handle and ready

    await house.until(is_back)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert [p.instance_id for p in await fleet.runtime.owned()] == [view.id]
    await runtime.close()
    await relay.cut()
