"""What the control plane does in the background, and how far it is: for `/o/v1/status`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from o_platform.clock import Clock
from o_platform.errors import OError

Condition = Literal["waiting", "running", "done", "failed"]
FIRST_DELAY_S: Final = 0.5
LAST_DELAY_S: Final = 15.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """How one task is; `message` says why it failed last."""

    condition: Condition
    since: datetime
    message: str = ""


class Board:
    """The notes of every task, by name, in the order in which they were first written."""

    def __init__(self, clock: Clock, *, first_delay_s: float = FIRST_DELAY_S) -> None:
        """`clock` dates the notes; `first_delay_s` passes after a first failure, then doubles."""
        self._clock = clock
        self._first_delay_s = first_delay_s
        self._notes: dict[str, Note] = {}

    @property
    def notes(self) -> dict[str, Note]:
        """The notes now."""
        return dict(self._notes)

    def write(self, name: str, condition: Condition, message: str = "") -> None:
        """Note how a task is."""
        self._notes[name] = Note(condition, self._clock.now(), message)

    async def keep_running(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`, again after a failure, with growing delays, until it returns."""
        delay_s = self._first_delay_s
        while True:
            self.write(name, "running")
            began = self._clock.now()
            try:
                await work()
            except Exception as error:  # noqa: BLE001 — a task's edge: recorded, then tried again
                if (self._clock.now() - began).total_seconds() > LAST_DELAY_S:
                    delay_s = self._first_delay_s
                self._record(name, error, delay_s)
            else:
                self.write(name, "done")
                return
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LAST_DELAY_S)

    def _record(self, name: str, error: Exception, delay_s: float) -> None:
        message = error.message if isinstance(error, OError) else f"{type(error).__name__}: {error}"
        self.write(name, "failed", message)
        _log.error(
            "%s failed; next try in %.1f s", name, delay_s,
            exc_info=None if isinstance(error, OError) else error, extra={"reason": message},
        )  # fmt: skip
