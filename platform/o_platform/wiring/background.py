"""Sends background runs to their agents until they have ended, and calls back.

Level-triggered: a run that is due, and that the bridge does not know as running, is sent through
Envoy under the name its request has always had. So it does not matter who died: the bridge answers
what has ended from its record, lets a running one be joined, and resumes a dead one.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from o_platform.agents import background_repository as repository
from o_platform.agents.running_turns import RunningTurnsOfBridge
from o_platform.agents.turn_client import Sender, TurnClient, TurnRefusedError
from o_platform.db.engine import CHANNEL_RUNS, Database
from o_platform.db.hearing import Hearing
from o_platform.db.models import BackgroundRun
from o_platform.errors import UnavailableError
from o_platform.wiring.callbacks import Callbacks

LOOK_S: Final = 15.0
"""How often to look when nothing is announced and nothing is due before."""
SHORTEST_PAUSE_S: Final = 0.05
AT_ONCE: Final = 512
"""Background runs that one control plane sends at the same time."""
CALLBACKS_AT_ONCE: Final = 16
MAX_TRIES: Final = 12
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 30.0
_PASSING_CODES: Final = frozenset({"busy", "memory_conflict", "fenced"})
_log = logging.getLogger(__name__)


class BackgroundKeeper:
    """Sees to it that every background run ends."""

    def __init__(
        self,
        database: Database,
        hearing: Hearing,
        turns: TurnClient,
        running: RunningTurnsOfBridge,
        callbacks: Callbacks,
    ) -> None:
        """`turns` reaches the agents; `running` knows what the bridge runs."""
        self._database = database
        self._hearing = hearing
        self._turns = turns
        self._running = running
        self._callbacks = callbacks
        self._sending: set[str] = set()
        """Runs that this process is sending."""
        self._calling: set[str] = set()
        """Runs whose callback this process is sending."""

    async def run(self) -> None:
        """Look and send until cancelled."""
        with self._hearing.subscribed(CHANNEL_RUNS) as news:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self._look(tasks)
                    await news.wait(await self._pause_s())

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        room = AT_ONCE - len(self._sending)
        async with self._database.unit_of_work() as session:
            due = await repository.due_runs(session, self._sending, room) if room > 0 else []
            ended = await repository.due_callbacks(session, CALLBACKS_AT_ONCE)
        running = {turn.run_id for turn in await self._running.list()} if due else set()
        for row in due:
            if row.run_id not in running:
                self._sending.add(row.run_id)
                tasks.create_task(self._send(row))
        for row in ended:
            if row.run_id not in self._calling:
                self._calling.add(row.run_id)
                tasks.create_task(self._call_back(row))

    async def _pause_s(self) -> float:
        async with self._database.unit_of_work() as session:
            following = await repository.next_due(session, self._sending | self._calling)
        if following is None:
            return LOOK_S
        left_s = (following - datetime.now(UTC)).total_seconds()
        return min(LOOK_S, max(SHORTEST_PAUSE_S, left_s))

    async def _send(self, row: BackgroundRun) -> None:
        try:
            await self._drive(row)
        finally:
            self._sending.discard(row.run_id)

    async def _drive(self, row: BackgroundRun) -> None:
        sender = Sender(row.client, row.request_id)
        try:
            await self._turns.drive(row.conversation_id or row.agent_id, row.body or "", sender)
        except (UnavailableError, TurnRefusedError) as error:
            await self._note_failure(row, error)
        else:
            # It has ended, unless its request was answered by the run of another.
            await self._note_failure(row, TurnRefusedError(502, "no_outcome", "it left no outcome"))

    async def _note_failure(
        self, row: BackgroundRun, error: UnavailableError | TurnRefusedError
    ) -> None:
        async with self._database.unit_of_work() as session:
            now = await repository.fetch_background(session, row.run_id)
            if now is None or now.ended_at is not None:
                return
            extra = {"run_id": row.run_id, "code": error.code}
            _log.warning("a background run failed: %s", error.message, extra=extra)
            if _is_passing(error) and now.tries + 1 < MAX_TRIES:
                await repository.record_try(session, row.run_id, _pause(now.tries))
            else:
                how = {"code": error.code, "message": error.message}
                await repository.end_run(session, row, "error", **how)

    async def _call_back(self, row: BackgroundRun) -> None:
        try:
            await self._callbacks.send(row)
        finally:
            self._calling.discard(row.run_id)


def _pause(tries: int) -> timedelta:
    return timedelta(seconds=min(FIRST_PAUSE_S * 2.0**tries, LONGEST_PAUSE_S))


def _is_passing(error: UnavailableError | TurnRefusedError) -> bool:
    if error.status == HTTPStatus.NOT_IMPLEMENTED:
        return False
    return (
        error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or error.status == HTTPStatus.TOO_MANY_REQUESTS
        or error.code in _PASSING_CODES
    )
