"""`python -m o_platform.bridge`: runs the bridge until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys

import uvloop

from o_platform.bridge.process import Bridge
from o_platform.errors import OError, SetupError
from o_platform.settings import Settings
from o_platform.telemetry import configure_logging

_log = logging.getLogger("o_platform.bridge")


async def _serve(settings: Settings, database_url: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    bridge = Bridge(settings, database_url)
    await bridge.start()
    # What was loaded stays for good: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    _log.info("ready")
    await stopping.wait()
    await bridge.stop()


def main() -> int:
    """Run the process; returns its exit status."""
    settings = Settings()
    configure_logging("bridge", settings.log_level)
    try:
        if settings.database_url is None:
            raise SetupError("the bridge needs DATABASE_URL; start the platform with `o up`")
        uvloop.run(_serve(settings, settings.database_url.get_secret_value()))
    except OError as error:
        _log.error("%s", error.message, extra=error.detail)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
