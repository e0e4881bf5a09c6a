"""What a guest prints: counted against its limit, sent in pieces that are not too small."""

from __future__ import annotations

import time
from typing import Final

from o_sandbox.protocol import Channel
from o_sandbox.worker import wire
from o_sandbox.worker.connection import Host
from o_sandbox.worker.verdict import Verdict

_PIECE: Final = 4096
_DELAY_S: Final = 0.05
"""A piece is sent when it is this long or this old, so that a tool that prints single letters costs
the host no message for each."""


class Console:
    """Collects, counts, sends."""

    def __init__(self, verdict: Verdict, limit: int, host: Host) -> None:
        """End the call by `verdict` when more than `limit` bytes were printed."""
        self._verdict = verdict
        self._limit = limit
        self._host = host
        self._held: dict[Channel, list[str]] = {"stdout": [], "stderr": []}
        self._held_bytes = 0
        self._sent_at = time.monotonic()
        self.size = 0

    def write(self, channel: Channel, text: str) -> None:
        """Print `text`.

        Raises:
            Ended: this goes over the limit; what fits was printed.
        """
        piece = text.encode(errors="replace")
        room = max(0, self._limit - self.size)
        self.size += len(piece)
        self._held[channel].append(piece[:room].decode(errors="ignore"))
        self._held_bytes += min(room, len(piece))
        if len(piece) > room:
            self._verdict.end("output", f"the tool printed more than {self._limit} bytes")
        if self._held_bytes >= _PIECE or time.monotonic() - self._sent_at > _DELAY_S:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        if not self._held_bytes:
            return
        for channel, pieces in self._held.items():
            text = "".join(pieces)
            pieces.clear()
            if text:
                self._host.send(wire.Output(channel, text))
        self._held_bytes = 0
        self._sent_at = time.monotonic()

    def check_with(self, value: bytes) -> None:
        """Count the result too.

        Raises:
            Ended: it and what was printed are over the limit together.
        """
        size = self.size + len(value)
        if size > self._limit:
            said = f"output and result are {size} bytes, the limit is {self._limit}"
            self._verdict.end("output", said)
