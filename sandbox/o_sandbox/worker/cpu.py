"""The CPU budget of a worker's call, kept from outside by what the kernel accounts to the process.

A worker also asks the kernel for a signal at its budget, which comes sooner; but plain Python may
ignore signals. The clock is looked at as often as the budget could be used up by then, were every
CPU of the machine busy with it: seldom at first, then ever sooner.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_CPUS: Final = os.cpu_count() or 1
_SOONEST_S: Final = 0.02
_SIGNAL_FIRST_S: Final = 0.05
"""How much CPU above the budget is left to the kernel's own signal."""


class CpuWatch:
    """Calls `end` once the clock has moved by the budget; a context manager."""

    def __init__(
        self, clock: Callable[[], float], budget_s: float, end: Callable[[], None]
    ) -> None:
        """`clock`: CPU seconds of the process so far."""
        self._clock, self._end = clock, end
        self._started = clock()
        self._budget_s = budget_s + _SIGNAL_FIRST_S
        self._next: asyncio.TimerHandle | None = None

    @property
    def used_s(self) -> float:
        """CPU seconds since this was made."""
        return self._clock() - self._started

    def __enter__(self) -> Self:
        """Begin to look."""
        self._look_in(self._budget_s / _CPUS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(max(_SOONEST_S, seconds), self._look)

    def _look(self) -> None:
        left_s = self._budget_s - self.used_s
        if left_s <= 0:
            self._next = None
            self._end()
        else:
            self._look_in(left_s / _CPUS)
