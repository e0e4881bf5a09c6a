"""What the process remembers of requests that are over: outcomes, results, and who repeats whom."""

from __future__ import annotations

from typing import Final, NamedTuple

from o_contracts.bridge import TurnOpen
from o_platform.agents.turns import REPEAT_WINDOW_S, FinishedRun
from o_platform.bridge.lru import Lru
from o_platform.bridge.memo import Memo
from o_platform.bridge.turn import Turn, TurnKey

FINISHED_TURNS: Final = 1024
"""Outcomes at hand; older ones are read from the database."""
GONE_TURNS: Final = 1024
"""Turns without an outcome that are kept for another attempt, with what they got."""
REPEATS: Final = 8192
"""Requests whose client and body are at hand; older ones are found in the database."""


class Gone(NamedTuple):
    """What remains of a turn whose runner went away."""

    run_id: str
    memo: Memo
    journaled: bool


class Recent:
    """Bounded memory of requests that are over."""

    __slots__ = ("_finished", "_gone", "_repeats")

    def __init__(self) -> None:
        """Nothing yet."""
        self._finished: Lru[TurnKey, tuple[FinishedRun, float]] = Lru(FINISHED_TURNS)
        self._gone: Lru[TurnKey, Gone] = Lru(GONE_TURNS)
        self._repeats: Lru[tuple[str, str, str], TurnKey] = Lru(REPEATS)

    def finish(self, key: TurnKey, finished: FinishedRun, now: float) -> None:
        """Remember an outcome."""
        self._finished.put(key, (finished, now))

    def finished(self, key: TurnKey) -> FinishedRun | None:
        """The outcome of this request."""
        entry = self._finished.get(key)
        return entry[0] if entry else None

    def leave(self, turn: Turn) -> None:
        """Remember a turn without an outcome, and what it got so far.

        One that got nothing is kept too: a repeat means it, not an earlier one with the same body.
        """
        self._gone.put(turn.key, Gone(turn.run_id, turn.memo, turn.journaled))

    def take_gone(self, key: TurnKey) -> Gone | None:
        """What the last attempt of this request got, for the next one."""
        return self._gone.pop(key)

    def note(self, request: TurnOpen, key: TurnKey) -> None:
        """Remember under which name this client, agent and body were seen last."""
        self._repeats.put((request.client, request.agent_id, request.body_digest), key)

    def repeated(self, request: TurnOpen) -> TurnKey | None:
        """The name under which the request that an SDK repeats was seen last."""
        return self._repeats.get((request.client, request.agent_id, request.body_digest))

    def ended_lately(self, key: TurnKey, now: float) -> bool:
        """Whether the request ended within the window of repeats, or left something behind."""
        entry = self._finished.get(key)
        if entry is not None:
            return now - entry[1] < REPEAT_WINDOW_S
        return self._gone.get(key) is not None
