"""The wall time and the CPU budget of a worker's call, kept from outside.

A worker also asks the kernel for a signal at its CPU budget, which comes sooner; but plain Python
may ignore signals. What the kernel accounts to the process is looked at as often as the budget
could be used up by then, were every CPU of the machine busy with it: seldom at first, then ever
sooner.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from o_sandbox.alarm import Alarm

_CPUS: Final = os.cpu_count() or 1
_SOONEST_S: Final = 0.02
_SIGNAL_FIRST_S: Final = 0.05
"""How much CPU above the budget is left to the kernel's own signal."""


class Watch:
    """Of one call, from its beginning on."""

    def __init__(
        self,
        alarm: Alarm,
        budget_s: float,
        deadline: float,
        cpu_s: Callable[[], float],
        expire: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        """Begin to look, whenever `alarm` rings.

        Args:
            alarm: turned off by whoever ends the call.
            budget_s: CPU seconds that the call may use.
            deadline: when its wall time is over, by the event loop's clock.
            cpu_s: CPU seconds that the call has used so far.
            expire: told when the wall time is over.
            end: ends the process, once its CPU budget is used up.
        """
        self._alarm, self._cpu_s, self._expire, self._end = alarm, cpu_s, expire, end
        self._loop = asyncio.get_running_loop()
        self._budget_s = budget_s + _SIGNAL_FIRST_S
        self._deadline = deadline
        self._look_later(self._loop.time(), self._budget_s)

    def _look_later(self, now: float, left_s: float) -> None:
        due = now + max(_SOONEST_S, left_s / _CPUS)
        self._alarm.set(min(due, self._deadline), self._look)

    def _look(self) -> None:
        now, left_s = self._loop.time(), self._budget_s - self._cpu_s()
        if now >= self._deadline:
            self._expire()
        elif left_s > 0:
            self._look_later(now, left_s)
        else:
            self._end()
            self._alarm.set(self._deadline, self._look)  # for a host function that goes on
