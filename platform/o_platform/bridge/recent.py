"""What the process remembers of requests that are over: outcomes, results, and who repeats whom."""

from __future__ import annotations

from collections.abc import Container
from typing import Final, NamedTuple

from o_contracts.bridge import TurnOpen
from o_contracts.ids import new_id
from o_platform.agents.past_runs import REPEAT_WINDOW_S, FinishedRun
from o_platform.agents.request_keys import request_key
from o_platform.bridge.lru import Lru
from o_platform.bridge.memo import Memo
from o_platform.bridge.turn import Opening, Turn, TurnKey

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

    def turn_of(self, key: TurnKey, opening: Opening) -> Turn:
        """A turn for this request, with what its last attempt got, if there was one."""
        gone = self._gone.pop(key)
        if gone is None:
            return Turn(key, opening, new_id("run"), Memo())
        turn = Turn(key, opening, gone.run_id, gone.memo)
        turn.journaled = gone.journaled
        return turn

    def key_of(self, request: TurnOpen, open_turns: Container[TurnKey], now: float) -> TurnKey:
        """The name of a request; an SDK's retry without one of its own is called what it repeats.

        That is the last one with its client, agent and body, while it has no outcome or ended
        within the window of repeats.
        """
        said = (request.client, request.agent_id, request.body_digest)
        if request.sdk_retry > 0 and not request.otids:
            earlier = self._repeats.get(said)
            if earlier is not None and (earlier in open_turns or self._ended_lately(earlier, now)):
                return earlier
        key = TurnKey(request.agent_id, request_key(request))
        self._repeats.put(said, key)
        return key

    def _ended_lately(self, key: TurnKey, now: float) -> bool:
        """Whether the request ended within the window of repeats, or left something behind."""
        entry = self._finished.get(key)
        if entry is not None:
            return now - entry[1] < REPEAT_WINDOW_S
        return self._gone.get(key) is not None
