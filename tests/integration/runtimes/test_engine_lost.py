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
from o_platform.testing.relay import Relay

from .conftest import GENOME, TINY_AGENT, House

pytestmark = pytest.mark.integration


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

    async def is_watched() -> bool:
        return any("/events" in line for line in relay.asked)

    # Cut before, the engine's SDK leaves the socket on which it was told of nothing yet.
    await house.until(is_watched)
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
