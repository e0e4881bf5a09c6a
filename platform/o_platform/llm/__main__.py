"""The gateway process: `python -m o_platform.llm`.

It is started at the first connection to `<run>/llm.sock`, by whoever holds that socket, and is the
only process that has provider keys. Connections that arrive while LiteLLM is being imported (some
seconds) wait in the socket's queue.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket

import uvloop

from o_platform.llm.calls import CallPolicy
from o_platform.llm.discovery import ModelFinder
from o_platform.llm.gateway import Gateway
from o_platform.llm.server import FrameServer, listening_socket
from o_platform.settings import Settings
from o_platform.telemetry import configure_logging

_log = logging.getLogger(__name__)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = Settings()
    configure_logging("llm", settings.log_level)
    logging.captureWarnings(True)
    listener = listening_socket(str(settings.run / "llm.sock"))
    gateway = _gateway(settings)
    # A call may wait for its turn as long as for its answer (see `Gateway`).
    server = FrameServer(gateway.answer, longest_silence_s=2 * settings.llm_timeout_s)
    uvloop.run(_serve(server, listener))


def _gateway(settings: Settings) -> Gateway:
    from o_platform.llm.litellm_adapter import LitellmProvider

    base_urls, timeout_s = settings.llm_base_urls, settings.llm_timeout_s
    policy = CallPolicy(timeout_s, settings.llm_chunk_timeout_s, settings.llm_retries)
    provider = LitellmProvider(base_urls, os.environ, timeout_s=timeout_s)
    finder = ModelFinder(base_urls, os.environ)
    return Gateway(provider, finder, policy, settings.llm_concurrency)


async def _serve(server: FrameServer, listener: socket.socket) -> None:
    serving = asyncio.ensure_future(server.serve(listener))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    _log.info("ready")
    try:
        await serving
    except asyncio.CancelledError:
        _log.info("stopped")


if __name__ == "__main__":
    main()
