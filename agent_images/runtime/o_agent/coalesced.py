"""Writes of one pass of the event loop, sent with one system call.

A write to a Unix socket costs tens of microseconds, most of them for waking the reader; a turn
makes five (three requests to the bridge, a response's head and its body). What is written while the
loop runs its ready callbacks is collected and sent when they are done, before the loop waits again.
"""

from __future__ import annotations

import asyncio
from typing import Any


class CoalescedTransport(asyncio.Transport):
    """A transport that collects what is written to it; everything else goes straight through."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """`transport` does the work."""
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []

    def write(self, data: Any) -> None:
        """Send `data` at the end of this pass of the loop."""
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)

    def close(self) -> None:
        """Send what is pending, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._pending.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or closing."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Stop reading."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport knows about its socket."""
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        pending = self._pending
        if pending and not self._transport.is_closing():
            self._transport.write(pending[0] if len(pending) == 1 else b"".join(pending))
        pending.clear()
