"""A model of a test's own in the LLM gateway's place, beside a test that blocks."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

from o_contracts.llm import LlmResult
from o_platform.llm.server import Exchange, FrameServer


class ModelThread:
    """Serves a socket on an event loop and a thread of its own, from the start until `close`."""

    def __init__(
        self, listener: socket.socket, answer: Callable[[Exchange], Awaitable[LlmResult]]
    ) -> None:
        """`answer` runs on that loop."""
        self._loop = asyncio.new_event_loop()
        self._serving = self._loop.create_task(FrameServer(answer).serve(listener))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Have this called on the loop."""
        self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Stop serving; returns when the thread has ended."""
        self.call_soon(self._serving.cancel)
        self._thread.join()

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)
        self._loop.close()
