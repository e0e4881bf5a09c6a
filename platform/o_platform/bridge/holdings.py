"""Which turns each connection runs or waits for, and how many one instance may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from o_platform.bridge.connection import Connection
from o_platform.bridge.turn import Opening, Turn
from o_platform.errors import UnavailableError

MAX_CONNECTIONS: Final = 8
"""Connections of one instance; a sound one has one, and for a moment one more."""
MAX_TURNS: Final = 4096
"""Turns that one instance runs or waits for; more would only fill our memory."""


class OverloadedError(UnavailableError):
    """The instance has as many turns as it may have."""

    code = "overloaded"


@dataclass(slots=True)
class _Held:
    instance_id: str
    turns: set[Turn] = field(default_factory=set)


class Holdings:
    """The turns of every connection that has opened one."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        """Nobody holds anything."""
        self._held: dict[Connection, _Held] = {}

    def admit(self, opening: Opening) -> None:
        """Know the connection from now on.

        Raises:
            OverloadedError: its instance must not have another turn.
        """
        held = self._held.get(opening.connection)
        if held is None:
            held = self._held[opening.connection] = _Held(opening.caller.instance_id)
        # While each connection is below its share, their sum need not be looked at.
        if len(held.turns) < MAX_TURNS // MAX_CONNECTIONS:
            return
        if self._total(held.instance_id) >= MAX_TURNS:
            raise OverloadedError(
                f"the instance {held.instance_id} has {MAX_TURNS} turns already; try again later"
            )

    def add(self, connection: Connection, turn: Turn) -> None:
        """The connection, which was admitted, runs this turn or waits for it."""
        self._held[connection].turns.add(turn)

    def discard(self, connection: Connection, turn: Turn) -> None:
        """The connection has no more to do with this turn."""
        held = self._held.get(connection)
        if held is not None:
            held.turns.discard(turn)

    def of(self, connection: Connection) -> list[Turn]:
        """The turns of a connection."""
        held = self._held.get(connection)
        return list(held.turns) if held is not None else []

    def forget(self, connection: Connection) -> list[Turn]:
        """The connection is gone; returns the turns it had."""
        turns = self.of(connection)
        self._held.pop(connection, None)
        return turns

    def _total(self, instance_id: str) -> int:
        return sum(len(h.turns) for h in self._held.values() if h.instance_id == instance_id)
