"""`python -m o_platform.bridge`: runs the bridge until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Final

import uvloop

from o_platform.bridge.process import Bridge
from o_platform.bridge.standby import ServingLock, fork_spare, is_alive
from o_platform.errors import OError, SetupError
from o_platform.settings import Settings
from o_platform.telemetry import configure_logging

SUCCESSOR_WAIT_S: Final = 30.0
"""How long a spare serves when no successor comes."""
LOOK_S: Final = 0.5
"""How often a spare that serves looks for the supervisor."""
RELEASE_WAIT_S: Final = 1.0
"""How long a spare waits for the lock of the bridge that died."""

_log = logging.getLogger("o_platform.bridge")


def main() -> int:
    """Run the process; returns its exit status."""
    settings = Settings()
    configure_logging("bridge", settings.log_level)
    try:
        if settings.database_url is None:
            raise SetupError("the bridge needs DATABASE_URL; start the platform with `o up`")
        _run(settings, settings.database_url.get_secret_value())
    except OError as error:
        _log.error("%s", error.message, extra=error.detail)
        return 1
    return 0


def _run(settings: Settings, database_url: str) -> None:
    gc.freeze()
    supervisor = os.getppid()
    spare = fork_spare()
    lock = ServingLock(settings.run / "bridge.lock")
    if spare is None:
        if lock.take(RELEASE_WAIT_S):
            uvloop.run(_bridge_the_gap(settings, database_url, supervisor))
        return
    try:
        lock.take_over()
        uvloop.run(_lead(settings, database_url))
    except OError:
        spare.dismiss()
        raise
    spare.dismiss()


async def _lead(settings: Settings, database_url: str) -> None:
    """Serve until told to stop."""
    await _serve(settings, database_url, _stop_signal())


async def _bridge_the_gap(settings: Settings, database_url: str, supervisor: int) -> None:
    """Serve until a successor says stop, none has come, or the supervisor is gone."""
    stopping = _stop_signal()

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + SUCCESSOR_WAIT_S
        while loop.time() < until and is_alive(supervisor):  # noqa: ASYNC110 — not a child's end
            await asyncio.sleep(LOOK_S)
        stopping.set()

    watching = asyncio.create_task(watch())
    try:
        await _serve(settings, database_url, stopping)
    finally:
        watching.cancel()


async def _serve(settings: Settings, database_url: str, stopping: asyncio.Event) -> None:
    bridge = Bridge(settings, database_url)
    starting = asyncio.create_task(_start(bridge))
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await waiting
    finally:
        starting.cancel()
        waiting.cancel()
        await bridge.stop()


async def _start(bridge: Bridge) -> None:
    await bridge.start()
    # What was loaded stays for good: the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    _log.info("ready")


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


if __name__ == "__main__":
    sys.exit(main())
