"""Background turns: known before they begin, their events stored as they are made.

A background turn goes on when its client has gone; whoever asks later gets its events from the
database. Its row holds the request, so that the control plane can send it again when its runner
died. Events of all turns are written together: while one transaction is under way, the next ones
collect.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Awaitable, Callable
from typing import Final

from psycopg import AsyncConnection

from o_contracts.bridge import TurnAbandon, TurnPublish
from o_contracts.ids import is_conversation
from o_platform.agents.background_turns import (
    BackgroundTurn,
    EarlyEnd,
    PublishedEvent,
    begin_background,
    end_early,
    release_background,
    tell_runs,
    write_events,
)
from o_platform.bridge.postgres import Postgres
from o_platform.bridge.records import Outcome, Settle
from o_platform.bridge.tasks import Tasks
from o_platform.bridge.turn import Turn
from o_platform.db.sealing import Vault
from o_platform.errors import BadInputError, DatabaseUnavailableError, OError

WAIT_S: Final = 20.0
"""Longest wait for the database before a begun turn is told that it is away."""
MAX_EVENTS: Final = 100_000
"""Events of one turn."""
_log = logging.getLogger(__name__)


class Background:
    """The background turns of stable and canary instances; `run` writes their events."""

    def __init__(self, postgres: Postgres, vault: Vault, tasks: Tasks) -> None:
        """`tasks` are those of the bridge; requests and events are sealed."""
        self._postgres = postgres
        self._vault = vault
        self._tasks = tasks
        self._events: list[PublishedEvent] = []
        self._waiting: list[Future[None]] = []
        self._wake = asyncio.Event()
        self._is_writing = False

    async def begin(self, turn: Turn, agent_id: str) -> list[str]:
        """Make a turn known that is about to start; the events that it has published before.

        Raises:
            DatabaseUnavailableError: it cannot be made known now.
        """
        await self.written()
        request = turn.opening.request
        thread_id = turn.key.thread_id
        row = BackgroundTurn(
            turn.run_id,
            agent_id,
            thread_id if is_conversation(thread_id) else None,
            turn.key.request_key,
            request.request_id,
            request.client,
            request.background,
            request.body_digest,
        )
        begun = await self._postgres.run(
            lambda c: begin_background(c, self._vault, row), wait_s=WAIT_S
        )
        turn.run_id = begun.run_id
        return begun.events

    def publish(self, turn: Turn, body: TurnPublish) -> None:
        """Have events stored soon.

        Raises:
            BadInputError: a turn must not publish so many.
        """
        last = body.first + len(body.events) - 1
        if body.first < 1 or last > MAX_EVENTS:
            raise BadInputError(f"events are numbered from 1 to {MAX_EVENTS}, not to {last}")
        for seq, data in enumerate(body.events, start=body.first):
            # PostgreSQL does not store NUL; JSON has it escaped.
            self._events.append(PublishedEvent(turn.run_id, seq, data.replace("\0", "")))
        self._wake.set()

    async def written(self) -> None:
        """Wait until everything published so far is stored."""
        if not self._events and not self._is_writing:
            return
        stored: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(stored)
        self._wake.set()
        await stored

    def release(self, turn: Turn) -> None:
        """The turn's runner is gone: have the control plane send the turn again."""
        run_id = turn.run_id
        self._spawn(lambda c: release_background(c, run_id))

    async def commit(self, turn: Turn, commit: Callable[[Settle], None], settle: Settle) -> None:
        """Commit a turn when all of its events are stored, then tell who follows it."""
        await self.written()

        def told(outcome: Outcome) -> None:
            settle(outcome)
            run_ids = [turn.run_id]
            self._spawn(lambda c: tell_runs(c, run_ids))

        commit(told)

    def fail(self, turn: Turn, body: TurnAbandon, duration_us: int) -> None:
        """Record that a turn, of the background or not, failed for good; after its events."""
        caller = turn.opening.caller
        end = early_end(turn, turn.agent_id)._replace(
            stop_reason=body.stop_reason,
            variant=caller.variant,
            instance_id=caller.instance_id,
            duration_us=duration_us,
            code=body.code,
            message=body.message,
            model=turn.asked_model if body.stop_reason == "llm_api_error" else "",
        )

        async def record(connection: AsyncConnection) -> None:
            await end_early(connection, end)

        async def in_order() -> None:
            await self.written()
            await self._postgres.run(record, wait_s=WAIT_S)

        self._tasks.spawn(in_order())

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            events, self._events = self._events, []
            waiting, self._waiting = self._waiting, []
            self._is_writing = True
            await self._write_apart(events)
            self._is_writing = False
            for stored in waiting:
                if not stored.done():
                    stored.set_result(None)

    async def _write_apart(self, events: list[PublishedEvent]) -> None:
        """Write them; what cannot be written of one run keeps nobody else waiting."""
        try:
            await self._write(events)
        except Exception as error:  # noqa: BLE001 — whatever it is, the others' turns go on
            run_ids = {event.run_id for event in events}
            if len(run_ids) > 1:
                for run_id in run_ids:
                    await self._write_apart([one for one in events if one.run_id == run_id])
                return
            extra = {"run_id": events[0].run_id}
            _log.warning("events of a background run are lost: %s", error, extra=extra)

    async def _write(self, events: list[PublishedEvent]) -> None:
        while events:
            try:
                await self._postgres.run(
                    lambda c: write_events(c, self._vault, events), wait_s=WAIT_S
                )
                return
            except DatabaseUnavailableError as error:
                _log.warning("events of background runs wait: %s", error.message)

    def _spawn(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        async def done() -> None:
            try:
                await self._postgres.run(work, wait_s=WAIT_S)
            except OError as error:
                # Whoever follows looks now and then, whoever sends again does, too.
                _log.warning("news of a background run was not told: %s", error.message)

        self._tasks.spawn(done())


def early_end(turn: Turn, agent_id: str) -> EarlyEnd:
    """The end of a turn that was cancelled before it began."""
    request = turn.opening.request
    thread_id = turn.key.thread_id
    return EarlyEnd(
        turn.run_id,
        agent_id,
        thread_id if is_conversation(thread_id) else None,
        bool(request.background),
        turn.key.request_key,
        "cancelled",
        request.client,
        request.body_digest,
    )
