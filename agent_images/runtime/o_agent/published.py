"""What a background turn has told its clients, and telling it to the bridge.

Events are numbered from 1 and kept here until the turn ends: after a restart of the bridge, those
that it had not stored are published again. A worker that takes over a turn begins with the events
of the one before it, and adds what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from o_agent.bridge_client import BridgeClient
from o_contracts import bridge


class Told:
    """What is in earlier events: whole messages by id; of those sent in pieces, their texts."""

    __slots__ = ("calls", "texts", "whole")

    def __init__(self) -> None:
        """Nothing yet."""
        self.whole: set[str] = set()
        self.texts: dict[str, str] = {}
        self.calls: dict[str, list[str]] = {}
        """Arguments of a message's calls, in order."""

    @classmethod
    def of(cls, events: Sequence[str], *, in_pieces: bool) -> Told:
        """Read events; `in_pieces` says whether replies were sent so."""
        told = cls()
        for event in events:
            told._read(msgspec.json.decode(event), in_pieces=in_pieces)
        return told

    def _read(self, event: dict[str, Any], *, in_pieces: bool) -> None:
        message_id = str(event.get("id"))
        text = event.get("reasoning") or event.get("content")
        if not in_pieces or event.get("message_type") == "tool_return_message":
            self.whole.add(message_id)
        elif "tool_calls" in event:
            self._read_call(message_id, event["tool_calls"])
        elif isinstance(text, str):
            self.texts[message_id] = self.texts.get(message_id, "") + text

    def _read_call(self, message_id: str, call: dict[str, Any] | list[dict[str, Any]]) -> None:
        calls = self.calls.setdefault(message_id, [])
        for piece in call if isinstance(call, list) else [call]:
            if piece.get("tool_call_id") or not calls:
                calls.append("")
            calls[-1] += piece.get("arguments") or ""


class Publisher:
    """Numbers the events of one background turn and sends them to the bridge."""

    __slots__ = ("_bridge", "_events", "_run_id", "_token")

    def __init__(self, client: BridgeClient) -> None:
        """Publishes nothing before `begin`."""
        self._bridge = client
        self._events: list[str] = []
        self._run_id = ""
        self._token = 0

    @property
    def next_number(self) -> int:
        """The number of the next event."""
        return len(self._events) + 1

    def begin(self, token: int, run_id: str, published: Sequence[str]) -> list[str]:
        """The turn is opened (again); returns events that this worker has not sent itself."""
        self._token, self._run_id = token, run_id
        if self._events:
            self._tell(len(published) + 1, self._events[len(published) :])
            return []
        self._events = list(published)
        return self._events

    def add(self, event: str) -> None:
        """Publish the next event."""
        self._events.append(event)
        self._tell(len(self._events), [event])

    def _tell(self, first: int, events: list[str]) -> None:
        if events and self._token:  # else it has ended already
            body = bridge.TurnPublish(self._token, self._run_id, first, events)
            self._bridge.tell(bridge.TURN_PUBLISH, body)
