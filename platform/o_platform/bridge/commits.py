"""Group commit: while one transaction is being written, the turns that end meanwhile collect.

They make up the next transaction. A batch that fails for what is in it is taken apart and its turns
are tried alone, so that one bad turn does not fail its neighbours. While PostgreSQL is away turns
wait, each at most `wait_s`; writing again is safe, as a request has one run at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import psycopg

from o_platform.bridge.counters import Counters
from o_platform.bridge.postgres import AWAY, Pauses, driver_error, is_away, unavailable
from o_platform.bridge.records import Outcome, Refused, Settle
from o_platform.errors import BadInputError, ConflictError, DatabaseUnavailableError, OError

LARGEST_BATCH: Final = 256

_log = logging.getLogger(__name__)


class Writable(Protocol):
    """What the group commit must know of a turn."""

    @property
    def agent_id(self) -> str:
        """Whose turn it is; a batch holds one turn per agent."""
        ...


W = TypeVar("W", bound=Writable)
Write = Callable[[Sequence[W]], Awaitable[list[Outcome]]]
"""Writes a batch in one transaction; outcomes in the batch's order. Raises psycopg.Error."""


@dataclass(slots=True)
class _Pending(Generic[W]):
    item: W
    settle: Settle
    deadline: float


class GroupCommit(Generic[W]):
    """Collects turns and writes them in batches; `run` does the work."""

    def __init__(self, write: Write[W], counters: Counters, *, wait_s: float) -> None:
        """`wait_s` is the longest wait of a turn while PostgreSQL is away."""
        self._write = write
        self._counters = counters
        self._wait_s = wait_s
        self._pending: list[_Pending[W]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, item: W, settle: Settle) -> None:
        """Have a turn written; `settle` is called once with its outcome."""
        deadline = asyncio.get_running_loop().time() + self._wait_s
        self._pending.append(_Pending(item, settle, deadline))
        self._idle.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until everything submitted is settled."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await self._write_until_settled(self._next_batch())
            self._idle.set()

    def _next_batch(self) -> list[_Pending[W]]:
        batch: dict[str, _Pending[W]] = {}
        later: list[_Pending[W]] = []
        for pending in self._pending:
            if len(batch) < LARGEST_BATCH and pending.item.agent_id not in batch:
                batch[pending.item.agent_id] = pending
            else:
                later.append(pending)
        self._pending = later
        # In the order in which everyone locks agents.
        return sorted(batch.values(), key=lambda pending: pending.item.agent_id)

    async def _write_until_settled(self, batch: list[_Pending[W]]) -> None:
        pauses = Pauses()
        while batch:
            try:
                await self._try(batch)
                return
            except (*AWAY, DatabaseUnavailableError) as error:
                _log.warning("batch not written: %s", error, extra={"turns": len(batch)})
                batch = _settle_overdue(batch, error)
                self._pending = _settle_overdue(self._pending, error)
                await pauses.wait()

    async def _try(self, batch: list[_Pending[W]]) -> None:
        self._counters.batches += 1
        try:
            outcomes = await self._write([pending.item for pending in batch])
        except Exception as error:
            if is_away(error):
                raise
            # Whatever else it is, the neighbours are tried alone.
            if len(batch) == 1:
                _settle(batch[0], Refused(_refusal(error)))
                return
            _log.warning("batch taken apart: %s", error, extra={"turns": len(batch)})
        else:
            for pending, outcome in zip(batch, outcomes, strict=True):
                _settle(pending, outcome)
            return
        for pending in batch:
            self._counters.retried_alone += 1
            await self._write_until_settled([pending])


def _settle(pending: _Pending[W], outcome: Outcome) -> None:
    try:
        pending.settle(outcome)
    except Exception:  # noqa: BLE001 — one turn's failure must not stop the others' commits
        _log.exception("settling a turn failed", extra={"agent_id": pending.item.agent_id})


def _settle_overdue(pending: list[_Pending[W]], error: BaseException) -> list[_Pending[W]]:
    now = asyncio.get_running_loop().time()
    for entry in pending:
        if entry.deadline <= now:
            _settle(entry, Refused(unavailable(error)))
    return [entry for entry in pending if entry.deadline > now]


def _refusal(error: Exception) -> OError:
    cause = driver_error(error) or error
    reason = str(cause).partition("\n")[0]
    if isinstance(cause, psycopg.errors.UniqueViolation):
        return ConflictError(f"the turn uses an id that is taken ({reason}); use fresh ids")
    if isinstance(cause, psycopg.DataError | psycopg.OperationalError):
        return BadInputError(f"the turn holds a value that cannot be stored: {reason}")
    _log.error("turn refused", exc_info=error)
    return OError(f"the turn could not be stored: {reason}")
