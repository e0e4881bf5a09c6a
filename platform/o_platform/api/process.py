"""The control plane as a process."""

from __future__ import annotations

import gc
import signal
from types import FrameType
from typing import Final

import uvicorn

from o_agent.http_server import InstanceHttpProtocol
from o_platform.api.app import create_app
from o_platform.api.listener import control_socket
from o_platform.settings import Settings
from o_platform.telemetry import configure_logging
from o_platform.wiring import Platform, build_platform

STOP_WAIT_S: Final = 5
"""How long requests under way may take when the process is to stop."""
YOUNG_OBJECTS: Final = 10_000
"""How many are made before garbage is looked for among them; a listing makes some thousand."""


class ControlServer(uvicorn.Server):
    """Serves until told to stop."""

    def __init__(self, config: uvicorn.Config, platform: Platform) -> None:
        """`platform` is what the application of `config` runs on."""
        super().__init__(config)
        self._platform = platform
        self._is_settled = False

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s: whether to stop; once all is up, what is there is no garbage any more."""
        if not self._is_settled and self._platform.brought_up.is_set():
            self._is_settled = True
            gc.collect()
            gc.freeze()
        return await super().on_tick(counter)


def main() -> None:
    """Serve until told to stop; garbage is collected from here on."""
    settings = Settings()
    configure_logging("control", settings.log_level)
    listener = control_socket(settings.run / "control.sock")
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()
    platform = build_platform(settings)
    # uvicorn raises the signal that ended it once more: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    ControlServer(_config(platform), platform).run([listener])


def _config(platform: Platform) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(platform),
        loop="uvloop",
        http=InstanceHttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_WAIT_S,
    )


def _exit(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
