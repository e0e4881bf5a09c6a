"""Runs turns: each request once, the turns of an agent in order, each under a fencing token.

`turn.open` decides. A request that has an outcome is answered with it; one that is running is
joined (the joiner gets the outcome, or takes the turn over when its runner is gone); any other
waits in its agent's lane. The first of a lane holds it until its commit is durable, it is
abandoned, or its runner's connection drops. What a gone turn already paid for is kept, so that the
next attempt does not pay again.

All of it happens on one event loop: a method runs to its end before the next frame is looked at.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Collection, Coroutine
from functools import partial

from o_contracts.bridge import (
    TURN_ABANDON,
    TURN_COMMIT,
    TURN_OPEN,
    TURN_PUBLISH,
    FinishedTurn,
    TurnAbandon,
    TurnCommit,
    TurnCommitted,
    TurnPublish,
)
from o_contracts.control import RunningTurn
from o_contracts.ids import new_id
from o_contracts.messages import Usage
from o_platform.agents.past_runs import FinishedRun
from o_platform.bridge.answers import finished_run, send_outcome, send_turn
from o_platform.bridge.approvals import refusal
from o_platform.bridge.background import Background
from o_platform.bridge.connection import Connection
from o_platform.bridge.counters import Counters
from o_platform.bridge.fencing import BusyError, FencedError, Tokens
from o_platform.bridge.holdings import OverloadedError
from o_platform.bridge.memo import Memo
from o_platform.bridge.recent import Recent
from o_platform.bridge.records import Committed, Duplicate, Outcome, Records, Refused
from o_platform.bridge.table import TurnTable
from o_platform.bridge.tasks import Tasks
from o_platform.bridge.turn import Opening, State, Turn, TurnKey, cancelled
from o_platform.bridge.views import AgentView
from o_platform.errors import BadInputError, OError

_log = logging.getLogger(__name__)


class TurnService:
    """The turns of one space: all stable and canary instances, or one bench or shadow instance."""

    def __init__(
        self,
        records: Records,
        tokens: Tokens,
        tasks: Tasks,
        counters: Counters,
        loop: AbstractEventLoop,
        *,
        wait_s: float,
        background: Background | None = None,
    ) -> None:
        """`wait_s` is the longest wait for the turns queued before one.

        Without `background`, turns that go on without their client leave nothing behind.
        """
        self.records = records
        self._tokens = tokens
        self._tasks = tasks
        self._counters = counters
        self._loop = loop
        self._wait_s = wait_s
        self._background = background
        self._table = TurnTable(counters)
        self._recent = Recent()

    def open(self, opening: Opening) -> None:
        """Answer with an outcome, join, or queue (op `turn.open`)."""
        self._counters.opened += 1
        key = self._recent.key_of(opening.request, self._table, self._loop.time())
        finished = self._recent.finished(key)
        if finished is not None:
            self._answer(opening, finished)
            return
        try:
            self._table.admit(opening)
        except OverloadedError as error:
            opening.connection.fail(opening.exchange, TURN_OPEN, error)
            return
        turn = self._table.get(key)
        if turn is None:
            self._enqueue(key, opening)
        else:
            self._join(turn, opening)

    def commit(self, connection: Connection, exchange: int, body: TurnCommit) -> None:
        """Make the outcome durable, then answer (op `turn.commit`)."""
        turn = self.running(body.token, connection)
        if turn is None or turn.key.thread_id != body.agent_id:
            connection.fail(exchange, TURN_COMMIT, self.fenced(body.run_id))
            return
        turn.state = State.COMMITTING

        def settle(outcome: Outcome) -> None:
            self._settled(turn, body, connection, exchange, outcome)

        try:
            body = turn.checked(body)
        except BadInputError as error:
            settle(Refused(error))
            return
        if self._background is None or not turn.opening.request.background:
            self.records.commit(turn, body, settle)
            return
        commit = partial(self.records.commit, turn, body)
        self._tasks.spawn(self._background.commit(turn, commit, settle))

    def publish(self, connection: Connection, exchange: int, body: TurnPublish) -> None:
        """Store events of a background turn (op `turn.publish`)."""
        turn = self.running(body.token, connection)
        if turn is None:
            connection.fail(exchange, TURN_PUBLISH, self.fenced(body.run_id))
            return
        if self._background is not None and turn.published is not None:
            try:
                self._background.publish(turn, body)
            except BadInputError as error:
                connection.fail(exchange, TURN_PUBLISH, error)
                return
        connection.reply(exchange, TURN_PUBLISH)

    def abandon(self, connection: Connection, exchange: int, body: TurnAbandon) -> None:
        """End a turn without an outcome, if it has not ended already (op `turn.abandon`)."""
        connection.reply(exchange, TURN_ABANDON)
        turn = self.running(body.token, connection)
        if turn is None:
            return
        extra = {"run_id": turn.run_id, "code": body.code}
        _log.info("turn abandoned: %s", body.message, extra=extra)
        if body.is_final and self._background is not None:
            duration_us = int((self._loop.time() - turn.started_at) * 1e6)
            self._background.fail(turn, body, duration_us)
            if turn.published is not None:
                self._over(turn, OError(body.message))
                return
            turn.run_id = new_id("run")  # of another attempt; the failed run keeps its own
        self._give_up(turn)

    def cancel(self, connection: Connection, exchange: int) -> None:
        """Forget a `turn.open` of this connection that is not answered yet."""
        for turn in self._table.of(connection):
            for joiner in [j for j in turn.joiners if j.is_from(connection, exchange)]:
                self._table.leave(turn, joiner)
            if turn.state is State.WAITING and turn.opening.is_from(connection, exchange):
                self._give_up(turn)

    def cancel_turns(self, agent_id: str, run_ids: Collection[str]) -> list[str]:
        """Cancel the turns of an agent or a conversation (of these runs, if any are named).

        One that waits is over at once; one that runs is told so, and commits what it has. Returns
        the runs.
        """
        chosen = self._table.cancellable(agent_id, run_ids)
        for turn in chosen:
            turn.is_cancelled = True
            if turn.state is State.WAITING:
                self._tasks.spawn(self._prepare(turn, self._cancel_waiting(turn)))
            for stop in list((turn.stops or {}).values()):
                stop(cancelled(turn))
        return [turn.run_id for turn in chosen]

    async def _cancel_waiting(self, turn: Turn) -> None:
        """End a turn that has not begun; its request is answered so, should it be repeated."""
        await self.records.end_waiting(turn, self._table.agent_of(turn))
        if turn.state is State.WAITING:
            record = FinishedTurn([], "cancelled", Usage(), 0)
            self._finish(turn, FinishedRun(turn.run_id, record))

    def listed(self) -> list[RunningTurn]:
        """The turns that have no outcome yet, oldest first."""
        return self._table.listed()

    def closed(self, connection: Connection) -> None:
        """The connection is gone: what it ran is given up, what it waited for is forgotten."""
        for turn in self._table.forget(connection):
            turn.joiners = [j for j in turn.joiners if j.connection is not connection]
            if turn.opening.connection is connection and turn.state is not State.COMMITTING:
                self._give_up(turn)

    def running(self, token: int, connection: Connection) -> Turn | None:
        """The turn that this connection runs under this token."""
        turn = self._table.running(token, connection)
        if turn is not None:
            turn.active_at = self._loop.time()
        return turn

    def fenced(self, run_id: str) -> FencedError:
        """The error for a token that `running` does not know; counted."""
        self._counters.fenced += 1
        return FencedError(
            f"{run_id} does not run under this token any more; open the turn again", run_id=run_id
        )

    # Opening

    def _join(self, turn: Turn, opening: Opening) -> None:
        self._counters.joined += 1
        self._table.join(turn, opening)
        self._loop.call_later(self._wait_s, self._joined_too_long, turn, opening)

    def _joined_too_long(self, turn: Turn, opening: Opening) -> None:
        if opening in turn.joiners:
            self._table.leave(turn, opening)
            opening.connection.fail(
                opening.exchange, TURN_OPEN, BusyError.after(self._wait_s, turn.key.thread_id)
            )

    def _enqueue(self, key: TurnKey, opening: Opening) -> None:
        turn = self._recent.turn_of(key, opening)
        self._counters.resumed += bool(turn.memo)
        self._table.add(turn)
        if self.records.needs_look_up(turn):
            turn.looking_up = True
            self._tasks.spawn(self._prepare(turn, self._look_up(turn)))
        if self._table.queue(turn):
            self._grant(turn)
        else:
            turn.timer = self._loop.call_later(self._wait_s, self._waited, turn)

    def _waited(self, turn: Turn) -> None:
        holder = self._table.holder(turn)
        if holder is not None and self._is_silent(holder):
            _log.warning("turn fenced: its runner is silent", extra={"run_id": holder.run_id})
            self._give_up(holder)
        if not turn.granted:
            self._fail(turn, BusyError.after(self._wait_s, turn.key.thread_id))

    def _is_silent(self, turn: Turn) -> bool:
        idle_s = self._loop.time() - turn.active_at
        return turn.state is State.RUNNING and not turn.calls and idle_s >= self._wait_s

    async def _prepare(self, turn: Turn, work: Coroutine[None, None, None]) -> None:
        """Whatever fails here ends the turn: one that waits for ever would block its agent."""
        try:
            await work
        except OError as error:
            self._fail(turn, error)
        except Exception:  # noqa: BLE001 — whatever it is, the agent must become free again
            _log.exception("a turn could not be prepared", extra={"run_id": turn.run_id})
            self._fail(turn, OError(f"{turn.run_id} could not be prepared; see `o logs bridge`"))

    async def _look_up(self, turn: Turn) -> None:
        found = await self.records.look_up(turn)
        if turn.state is not State.WAITING:
            return
        turn.looking_up = False
        if found.finished is not None:
            self._finish(turn, found.finished)
            return
        if found.run_id is not None:
            turn.run_id = found.run_id
        if found.journal and not turn.memo:
            turn.memo = Memo(found.journal)
            turn.journaled = True
            self._counters.resumed += 1
        if turn.granted:
            self._grant(turn)

    def _grant(self, turn: Turn) -> None:
        """The agent is free for this turn: start it as soon as it is looked up and loaded."""
        turn.granted = True
        if turn.timer is not None:
            turn.timer.cancel()
        if turn.looking_up or turn.is_cancelled:
            return
        view = self.records.cached(turn)
        if view is None:
            self._counters.context_misses += 1
            self._tasks.spawn(self._prepare(turn, self._load(turn)))
        else:
            self._counters.context_hits += 1
            self._start(turn, view)

    async def _load(self, turn: Turn) -> None:
        view = await self.records.load(turn)
        if turn.state is State.WAITING:
            self._start(turn, view)

    def _start(self, turn: Turn, view: AgentView) -> None:
        opening = turn.opening
        problem = refusal(view, opening.request)
        if problem is not None:
            self._fail(turn, problem)
            return
        if turn.is_cancelled:
            return
        background = self._background
        if background is not None and opening.request.background and turn.published is None:
            self._tasks.spawn(self._prepare(turn, self._make_known(turn, view, background)))
            return
        self._table.start(turn, self._tokens.fresh())
        turn.view = view
        turn.started_at = turn.active_at = self._loop.time()
        send_turn(turn, view)

    async def _make_known(self, turn: Turn, view: AgentView, background: Background) -> None:
        published = await background.begin(turn, view.base.agent_id)
        if turn.state is State.WAITING:
            turn.published = published
            self._start(turn, view)

    # Ending

    def _settled(
        self,
        turn: Turn,
        body: TurnCommit,
        connection: Connection,
        exchange: int,
        outcome: Outcome,
    ) -> None:
        match outcome:
            case Committed(version, begun):
                self._counters.committed += 1
                committed = TurnCommitted(version, begun_run_ids=list(begun))
                connection.reply(exchange, TURN_COMMIT, committed)
                self._finish(turn, finished_run(turn, body))
            case Duplicate(finished):
                connection.reply(exchange, TURN_COMMIT, TurnCommitted(0, finished.turn))
                self._finish(turn, finished)
            case Refused(error):
                self._counters.refused += 1
                connection.fail(exchange, TURN_COMMIT, error)
                self._give_up(turn)

    def _answer(self, opening: Opening, finished: FinishedRun) -> None:
        self._counters.answered_from_record += 1
        send_outcome(opening, finished)

    def _finish(self, turn: Turn, finished: FinishedRun) -> None:
        """The turn has an outcome: everybody who waits for it gets it."""
        self._recent.finish(turn.key, finished, self._loop.time())
        waiting = self._waiting_for(turn)
        self._remove(turn)
        for opening in waiting:
            self._answer(opening, finished)

    def _fail(self, turn: Turn, error: OError) -> None:
        """The turn cannot start: everybody who waits for it gets the error."""
        if turn.state is not State.WAITING:
            return
        self._recent.leave(turn)
        waiting = self._waiting_for(turn)
        self._remove(turn)
        for opening in waiting:
            opening.connection.fail(opening.exchange, TURN_OPEN, error)

    def _give_up(self, turn: Turn) -> None:
        """Its runner is gone: a joiner takes over, else its results wait for another attempt."""
        if turn.joiners:
            self._hand_over(turn, turn.joiners.pop(0))
            return
        if self._background is not None and turn.published is not None:
            self._background.release(turn)
        self._recent.leave(turn)
        self._remove(turn)

    def _over(self, turn: Turn, error: OError) -> None:
        """The turn failed for good: nothing is kept for another attempt."""
        joiners = turn.joiners
        self._remove(turn)
        for opening in joiners:
            opening.connection.fail(opening.exchange, TURN_OPEN, error)

    def _hand_over(self, turn: Turn, heir: Opening) -> None:
        was_waiting = turn.state is State.WAITING
        self._table.hand_over(turn, heir)
        turn.stops = None
        turn.view = turn.overlay = turn.published = None
        turn.asked = 0
        turn.asked_model = ""
        turn.served = []
        self._counters.resumed += 1
        if turn.is_cancelled and not was_waiting:  # one that waits is being ended already
            self._tasks.spawn(self._prepare(turn, self._cancel_waiting(turn)))
        elif turn.granted:
            self._grant(turn)

    def _remove(self, turn: Turn) -> None:
        if turn.timer is not None:
            turn.timer.cancel()
        following = self._table.remove(turn)
        if following is not None:
            self._grant(following)

    def _waiting_for(self, turn: Turn) -> list[Opening]:
        if turn.state is State.WAITING:
            return [turn.opening, *turn.joiners]
        return turn.joiners
