"""A timer that is kept from call to call.

A timer set and cancelled for each call is a noticeable part of a small call in another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Rings once, at a time of the event loop's clock, unless it is turned off or set anew."""

    def __init__(self) -> None:
        """It is off. Belongs to the event loop in which it is first set."""
        self._due = 0.0
        self._ring: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float, ring: Callable[[], None]) -> None:
        """Call `ring` at `due`."""
        if self._timer is None or self._timer.when() > due:
            self.cancel()
            self._timer = asyncio.get_running_loop().call_at(due, self._wake)
        self._due, self._ring = due, ring

    def off(self) -> None:
        """Ring no more; the loop's timer may stay until the next call or its time."""
        self._ring = None

    def cancel(self) -> None:
        """The same, and leave nothing in the loop."""
        self._ring = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        if self._ring is None:
            return
        loop = asyncio.get_running_loop()
        if self._due > loop.time():
            self._timer = loop.call_at(self._due, self._wake)
        else:
            ring, self._ring = self._ring, None
            ring()
