"""The control plane as a process: the leading one, and the spare that bridges its restart."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import socket
import time
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import Final

import uvicorn

from o_platform.api.app import create_app
from o_platform.api.standby import Listener, Vigil, fork_spare
from o_platform.settings import Settings
from o_platform.telemetry import configure_logging
from o_platform.wiring import Platform, build_platform
from o_platform.wiring.parts import STEERING

SUCCESSOR_WAIT_S: Final = 30.0
"""How long a spare serves when no successor comes."""
RELIEF_WAIT_S: Final = 10.0
"""How long it may take until all is up before a spare is relieved; shorter than the above."""
KEEP_ALIVE_S: Final = 2 * 3600
"""Longer than Envoy keeps an idle connection: who closes first must not be us, in its face."""
STOP_WAIT_S: Final = 5
"""How long requests under way may take when the process is to stop."""
YOUNG_OBJECTS: Final = 10_000
"""How many are made before garbage is looked for among them; a listing makes some thousand."""


class LeadingServer(uvicorn.Server):
    """Takes over the socket's path as soon as it can serve, or serve better than a spare."""

    def __init__(self, config: uvicorn.Config, listener: Listener, platform: Platform) -> None:
        """`listener` is not published yet."""
        super().__init__(config)
        self._listener = listener
        self._platform = platform
        self._is_settled = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as usual, then publish."""
        await super().startup(sockets=sockets)
        if self.started and self._listener.has_predecessor():
            with suppress(TimeoutError):
                async with asyncio.timeout(RELIEF_WAIT_S):
                    await self._platform.brought_up.wait()
        if self.started:
            self._listener.publish()

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s: whether to stop; once all is up, what is there is no garbage any more."""
        if not self._is_settled and self._platform.brought_up.is_set():
            self._is_settled = True
            gc.collect()
            gc.freeze()
        return await super().on_tick(counter)


class BridgingServer(uvicorn.Server):
    """Serves until the path names a successor's socket."""

    def __init__(self, config: uvicorn.Config, listener: Listener) -> None:
        """`listener` was published by the process that is gone."""
        super().__init__(config)
        self._listener = listener
        self._until = math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as usual, and count from now how long no successor comes."""
        self._until = time.monotonic() + SUCCESSOR_WAIT_S
        await super().startup(sockets=sockets)

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s: whether to stop."""
        relieved = not self._listener.is_published() or time.monotonic() > self._until
        return relieved or await super().on_tick(counter)


def main() -> None:
    """Serve until told to stop; garbage is collected from here on."""
    settings = Settings()
    configure_logging("control", settings.log_level)
    listener = Listener.open(settings.run / "control.sock")
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()
    spare = fork_spare()
    if isinstance(spare, Vigil):
        _stand_by(spare, settings, listener)
        return
    platform = build_platform(settings)
    # uvicorn raises the signal that ended it once more; it must not end us before the spare.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    try:
        LeadingServer(_config(platform), listener, platform).run([listener.socket])
    finally:
        spare.dismiss()


def _stand_by(vigil: Vigil, settings: Settings, listener: Listener) -> None:
    """Serve in place of the leading process, should that be killed."""
    import_module(STEERING)
    server = BridgingServer(_config(build_platform(settings, leads=False)), listener)
    vigil.hold()
    if listener.is_published():
        server.run([listener.socket])


def _config(platform: Platform) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(platform),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WAIT_S,
    )


def _exit(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
