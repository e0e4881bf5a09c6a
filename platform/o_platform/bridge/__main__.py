"""`python -m o_platform.bridge`: runs the bridge until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys

import uvloop

from o_platform.bridge.process import Bridge
from o_platform.bridge.serving_lock import ServingLock
from o_platform.errors import OError, SetupError
from o_platform.settings import Settings
from o_platform.telemetry import configure_logging

_log = logging.getLogger("o_platform.bridge")


def main() -> int:
    """Run the process; returns its exit status."""
    settings = Settings()
    configure_logging("bridge", settings.log_level)
    try:
        if settings.database_url is None:
            raise SetupError("the bridge needs DATABASE_URL; start the platform with `o up`")
        gc.freeze()
        ServingLock(settings.run / "bridge.lock").take_over()
        uvloop.run(_serve(settings, settings.database_url.get_secret_value()))
    except OError as error:
        _log.error("%s", error.message, extra=error.detail)
        return 1
    return 0


async def _serve(settings: Settings, database_url: str) -> None:
    stopping = _stop_signal()
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
