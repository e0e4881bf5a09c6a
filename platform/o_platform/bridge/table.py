"""The turns that have no outcome yet, by request, by token, by connection and by thread."""

from __future__ import annotations

from collections.abc import Collection

from o_contracts.control import RunningTurn
from o_contracts.ids import is_conversation
from o_platform.bridge.connection import Connection
from o_platform.bridge.counters import Counters
from o_platform.bridge.holdings import Holdings
from o_platform.bridge.lanes import Lanes
from o_platform.bridge.turn import Opening, State, Turn, TurnKey


class TurnTable:
    """Where a turn is looked up; what becomes of it is decided elsewhere (`TurnService`)."""

    __slots__ = ("_counters", "_held", "_lanes", "_running", "_turns")

    def __init__(self, counters: Counters) -> None:
        """`counters` is told how many turns run."""
        self._counters = counters
        self._turns: dict[TurnKey, Turn] = {}
        self._running: dict[int, Turn] = {}
        self._held = Holdings()
        self._lanes = Lanes()

    def __contains__(self, key: object) -> bool:
        """Whether the request has a turn without an outcome."""
        return key in self._turns

    def get(self, key: TurnKey) -> Turn | None:
        """The turn of a request."""
        return self._turns.get(key)

    def admit(self, opening: Opening) -> None:
        """Know the connection from now on.

        Raises:
            OverloadedError: its instance must not have another turn.
        """
        self._held.admit(opening)

    def add(self, turn: Turn) -> None:
        """A new turn; it is not in its thread's lane yet."""
        self._turns[turn.key] = turn
        self._held.add(turn.opening.connection, turn)

    def queue(self, turn: Turn) -> bool:
        """Put it in its thread's lane; whether it holds the thread now."""
        return self._lanes.enter(turn)

    def join(self, turn: Turn, opening: Opening) -> None:
        """One more waits for the outcome."""
        turn.joiners.append(opening)
        self._held.add(opening.connection, turn)

    def leave(self, turn: Turn, joiner: Opening) -> None:
        """A joiner waits no more."""
        turn.joiners.remove(joiner)
        self._let_go(turn, joiner.connection)

    def start(self, turn: Turn, token: int) -> None:
        """It runs from now on, under this token."""
        turn.state = State.RUNNING
        turn.token = token
        self._running[token] = turn
        self._counters.open_turns += 1

    def running(self, token: int, connection: Connection) -> Turn | None:
        """The turn that this connection runs under this token."""
        turn = self._running.get(token)
        if turn is None or turn.opening.connection is not connection:
            return None
        return turn if turn.state is State.RUNNING else None

    def hand_over(self, turn: Turn, heir: Opening) -> None:
        """A joiner takes the place of the runner, which is gone; the turn waits again."""
        self._stop(turn)
        former, turn.opening = turn.opening, heir
        self._let_go(turn, former.connection)
        self._held.add(heir.connection, turn)
        turn.state = State.WAITING

    def remove(self, turn: Turn) -> Turn | None:
        """It is over; returns the turn that holds its thread from now on, if that changed."""
        self._stop(turn)
        turn.state = State.OVER
        del self._turns[turn.key]
        self._held.discard(turn.opening.connection, turn)
        for joiner in turn.joiners:
            self._held.discard(joiner.connection, turn)
        return self._lanes.leave(turn)

    def of(self, connection: Connection) -> list[Turn]:
        """The turns that a connection runs or waits for."""
        return self._held.of(connection)

    def forget(self, connection: Connection) -> list[Turn]:
        """The connection is gone; returns the turns it had."""
        return self._held.forget(connection)

    def holder(self, turn: Turn) -> Turn | None:
        """The turn that holds its thread."""
        return self._lanes.holder(turn.key.thread_id)

    def agent_of(self, turn: Turn) -> str:
        """Whose turn it is: the one that holds its thread knows."""
        holder = self.holder(turn)
        return turn.agent_id if holder is None else holder.agent_id

    def cancellable(self, agent_id: str, run_ids: Collection[str]) -> list[Turn]:
        """What waits or runs of an agent or a conversation (of these runs, if any are named)."""
        return [
            turn
            for turn in self._turns.values()
            if agent_id in (turn.key.thread_id, self.agent_of(turn))
            and turn.state in {State.WAITING, State.RUNNING}
            and (not run_ids or turn.run_id in run_ids)
        ]

    def listed(self) -> list[RunningTurn]:
        """All of them, oldest first."""
        return [
            RunningTurn(
                turn.run_id,
                self.agent_of(turn),
                turn.state is not State.WAITING,
                turn.created_us,
                turn.opening.caller.variant,
                turn.opening.caller.instance_id,
                turn.key.thread_id if is_conversation(turn.key.thread_id) else None,
                bool(turn.opening.request.background),
            )
            for turn in self._turns.values()
        ]

    def _let_go(self, turn: Turn, connection: Connection) -> None:
        """The connection holds the turn no more, unless it still waits for it."""
        left = {turn.opening.connection, *(joiner.connection for joiner in turn.joiners)}
        if connection not in left:
            self._held.discard(connection, turn)

    def _stop(self, turn: Turn) -> None:
        if self._running.pop(turn.token, None) is not None:
            self._counters.open_turns -= 1
