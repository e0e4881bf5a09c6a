"""Ids of a turn's messages and steps, stable while the turn is executed again.

When the bridge restarts in the middle of a turn, the worker runs the turn again. What was already
streamed must keep its ids, so each id is named by its place in the turn and made once. A background
turn may go on in another worker; its ids are derived from its run's, so they are the same there.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Final

from o_contracts.ids import CHANCE_DIGITS, timed_uuid

_POOL_BYTES: Final = 409 * CHANCE_DIGITS // 2
_VARIANTS: Final = "89ab"


class UuidSource:
    """Fresh UUIDs (`o_contracts.ids`), their chance cut from a pool: one system call for 409.

    Make it after the fork: two processes with one pool would give out the same ids.
    """

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        """Start empty; the pool is filled at the first id."""
        self._pool = ""
        self._at = 0

    def new(self) -> str:
        """A fresh UUID in its canonical form."""
        at = self._at
        if at >= len(self._pool):
            self._pool = os.urandom(_POOL_BYTES).hex()
            at = 0
        self._at = end = at + CHANCE_DIGITS
        return timed_uuid(self._pool[at:end])


class TurnIds:
    """The ids of one turn by place, as `("text", step)` or `("return", step, call)`."""

    __slots__ = ("_by_place", "_name", "_source")

    def __init__(self, source: UuidSource) -> None:
        """Ids come from `source` at first use."""
        self._source = source
        self._name = ""
        self._by_place: dict[tuple[str | int, ...], str] = {}

    def derive_from(self, name: str) -> None:
        """From now on, make the ids that any other worker would make of this name."""
        self._name = name

    def get(self, prefix: str, *place: str | int) -> str:
        """The id `<prefix>-<uuid>` of this place, always the same."""
        found = self._by_place.get(place)
        if found is None:
            uuid = _named(self._name, *place) if self._name else self._source.new()
            found = self._by_place[place] = f"{prefix}-{uuid}"
        return found

    def replace(self, prefix: str, *place: str | int) -> str:
        """A new id for a place whose content turned out different when it was made again."""
        old = self._by_place.pop(place, None)
        if self._name and old is not None:
            self._by_place[place] = f"{prefix}-{_named(self._name, old)}"
        return self.get(prefix, *place)


def otid_of(message_id: str) -> str:
    """The offline id of a message that the agent made: its UUID, the last two digits zeroed."""
    return f"{message_id[8:-2]}00"


def _named(*parts: str | int) -> str:
    return _uuid(blake2b(repr(parts).encode(), digest_size=16).hexdigest())


def _uuid(h: str) -> str:
    variant = _VARIANTS[int(h[16], 16) & 3]
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}"
