"""What delivery stands on: routes and instances.

They import the container engine's client, so this module is imported in the background, after the
control plane's socket answers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from o_platform.db.engine import Database
from o_platform.runtimes.choice import open_runtime
from o_platform.runtimes.fleet import Fleet
from o_platform.settings import Settings
from o_platform.traffic.controller import TrafficController


@dataclass(frozen=True, slots=True)
class Ground:
    """Steers Envoy, and keeps instances."""

    traffic: TrafficController
    fleet: Fleet

    async def adopt(self) -> None:
        """Bring what runs in line with what is wanted.

        Raises:
            EngineUnavailableError: no engine answers.
        """
        await self.fleet.adopt()

    async def close(self) -> None:
        """Let go of the engine."""
        await self.fleet.runtime.close()


async def build_ground(settings: Settings, database: Database) -> Ground:
    """Build both; nothing is started yet.

    Raises:
        SetupError: the signing key cannot be read.
        EngineUnavailableError: containers were asked for, and no engine answers.
    """
    traffic = await asyncio.to_thread(TrafficController, database, settings)
    return Ground(traffic, Fleet(database, await open_runtime(settings), settings))
