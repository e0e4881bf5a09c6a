"""One lane per conversation: its turns run in the order they arrived, one at a time."""

from __future__ import annotations

from collections import deque

from o_platform.bridge.turn import Turn


class Lanes:
    """Who holds each thread, and who waits for it. A thread without turns costs nothing."""

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        """Every agent is free."""
        self._lanes: dict[str, deque[Turn]] = {}

    def enter(self, turn: Turn) -> bool:
        """Queue the turn; whether its agent was free, so that the turn holds it now."""
        lane = self._lanes.get(turn.key.thread_id)
        if lane is None:
            self._lanes[turn.key.thread_id] = deque((turn,))
            return True
        lane.append(turn)
        return False

    def leave(self, turn: Turn) -> Turn | None:
        """Take the turn out; returns the one that holds the agent from now on, if that changed."""
        lane = self._lanes[turn.key.thread_id]
        if lane[0] is not turn:
            lane.remove(turn)
            return None
        lane.popleft()
        if lane:
            return lane[0]
        del self._lanes[turn.key.thread_id]
        return None

    def holder(self, thread_id: str) -> Turn | None:
        """The turn that holds the thread."""
        lane = self._lanes.get(thread_id)
        return lane[0] if lane else None
