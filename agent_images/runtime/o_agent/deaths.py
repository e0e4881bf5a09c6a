"""How processes died, and whether too many did."""

from __future__ import annotations

import os
import signal
from collections import deque
from typing import Final

DEATHS: Final = 20
WINDOW_S: Final = 10.0


class Intensity:
    """Counts deaths in a sliding window."""

    __slots__ = ("_deaths", "_limit", "_window_s")

    def __init__(self, limit: int = DEATHS, window_s: float = WINDOW_S) -> None:
        """More than `limit` deaths within `window_s` are too many."""
        self._deaths: deque[float] = deque()
        self._limit = limit
        self._window_s = window_s

    def is_exceeded(self, now_s: float) -> bool:
        """Count a death at `now_s` and say whether that was one too many."""
        self._deaths.append(now_s)
        while self._deaths[0] <= now_s - self._window_s:
            self._deaths.popleft()
        return len(self._deaths) > self._limit


def describe_status(status: int) -> str:
    """A wait status in words: `exit code 78`, `signal SIGKILL`."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    return f"signal {signal.Signals(-code).name}"
