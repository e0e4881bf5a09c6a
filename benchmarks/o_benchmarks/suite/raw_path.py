"""The raw path: a second Envoy, configured like the platform's, in front of apps that do nothing.

What a turn costs is told as a ratio to it, measured in turns with it. It also shows how fast Envoy
takes up new weights, since its two apps say their names.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from o_benchmarks.demo.installation import IsolatedSettings
from o_benchmarks.suite.clients import Address
from o_platform.settings import Settings
from o_platform.testing.envoy import EnvoyProcess, free_port
from o_platform.traffic.delivery import Delivery
from o_platform.traffic.keys import Signer
from o_platform.traffic.render import render
from o_platform.traffic.snapshot import (
    FULL_PERMILLE,
    Canary,
    Endpoint,
    LineageRoutes,
    Listener,
    Snapshot,
)

STABLE: Final = "stable"
CANARY: Final = "canary"
START_S: Final = 10.0
_HOST: Final = "127.0.0.1"


class RawPath:
    """An Envoy and two apps that do nothing."""

    def __init__(self, settings: Settings) -> None:
        """Made by `raw_path`."""
        self.envoy = EnvoyProcess(settings)
        self.address = Address(_HOST, settings.listen_port)
        self._settings = settings
        self._delivery = Delivery(self.envoy.paths, self.envoy.admin)
        self._jwks = Signer(settings.home).jwks
        self._apps: dict[str, asyncio.subprocess.Process] = {}

    @property
    def base_url(self) -> str:
        """Where clients reach it."""
        return f"http://{self.address.host}:{self.address.port}"

    @property
    def roots(self) -> dict[str, int]:
        """The processes that take part in a request to the stable app."""
        return {"envoy": self.envoy.pid, "app": self._apps[STABLE].pid}

    async def start(self) -> None:
        """Start all three, with everything going to the stable app."""
        for name in (STABLE, CANARY):
            socket = self._socket(name)
            socket.parent.mkdir(parents=True)
            self._apps[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "o_benchmarks.suite.empty_app", str(socket), name
            )
        async with asyncio.timeout(START_S):
            while not all(self._socket(name).exists() for name in self._apps):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await self.envoy.start()
        await self.move(0)

    async def move(self, weight_permille: int) -> None:
        """Give the canary this share of the agents; returns when Envoy has confirmed it."""
        canary = Canary(self._endpoint(CANARY), weight_permille) if weight_permille else None
        lineage = LineageRoutes(1, "default", (self._endpoint(STABLE),), canary)
        listener = Listener(_HOST, self._settings.listen_port, tls=False, auth_required=False)
        snapshot = Snapshot(listener, self.envoy.paths, self._jwks, 1, (lineage,))
        await self._delivery.deliver(render(snapshot))

    async def move_all(self) -> None:
        """Give the canary every agent."""
        await self.move(FULL_PERMILLE)

    async def stop(self) -> None:
        """Stop all three."""
        self.envoy.stop()
        for app in self._apps.values():
            if app.returncode is None:
                app.terminate()
            await app.wait()

    def _socket(self, name: str) -> Path:
        return self._settings.run / name / "agent.sock"

    def _endpoint(self, name: str) -> Endpoint:
        digest = hashlib.sha256(name.encode()).hexdigest()
        return Endpoint(digest[:12], digest, str(self._socket(name)))


@asynccontextmanager
async def raw_path(folder: Path) -> AsyncIterator[RawPath]:
    """A raw path for the time of the block, its files in `folder` (a short path)."""
    settings = IsolatedSettings(
        home=folder / "home", run_dir=folder / "run", listen=f"{_HOST}:{free_port()}"
    )
    settings.run.mkdir(parents=True)
    path = RawPath(settings)
    try:
        await path.start()
        yield path
    finally:
        await path.stop()
