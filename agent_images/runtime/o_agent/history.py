"""The newest messages of a conversation, kept as the bytes that a model call sends.

A worker holds a thousand conversations of sixty messages. As objects of their own they would be
most of its memory, and each turn would touch all of one conversation's: so the encoded messages are
one byte string, beside them a few plain values of each. Histories that follow one another append
these to one list and remember which part of it is theirs.
"""

from __future__ import annotations

from typing import Final

import msgspec

from o_agent.llm_messages import Unit

MAX_WINDOW_BYTES: Final = 2 * 1024 * 1024
"""Of the history in a window: with a turn of the largest size it must still fit into a frame."""
_SUMMARY: Final = b"<summary_of_earlier_messages>"
"""How `input_message` begins a summary."""
_UNIT_BYTES: Final = 160
"""Estimated memory of a unit besides its bytes."""
_MAX_FORMER: Final = 16
"""Units that are not shown any more at the beginning of the list, before it is copied."""


_Shape = tuple[int, int, bool, str]
"""A unit without its bytes. A plain tuple of plain values, at which the collector looks once."""


class History:
    """The newest messages as units. `total` counts the stored messages, shown or not.

    Immutable, though later histories append to the same list.
    """

    __slots__ = ("_end", "_shapes", "_start", "encoded", "shown", "size_bytes", "total")

    def __init__(self, units: list[Unit], shown: int, size_bytes: int, total: int) -> None:
        """`shown` is how many messages the units stand for, `size_bytes` what they take."""
        self.encoded = b"".join([bytes(unit.raw) for unit in units])
        """All units, one after the other, as MessagePack."""
        self.shown = shown
        self.size_bytes = size_bytes
        self.total = total
        self._shapes: list[_Shape] = [unit[1:] for unit in units]
        self._start = 0
        self._end = len(units)

    def __len__(self) -> int:
        """How many units there are."""
        return self._end - self._start

    @property
    def units(self) -> list[Unit]:
        """The units, oldest first, made anew each time."""
        units: list[Unit] = []
        at = 0
        for shape in self._shapes[self._start : self._end]:
            end = at + shape[1]
            units.append(Unit(msgspec.Raw(self.encoded[at:end]), *shape))
            at = end
        return units

    @property
    def earlier_messages(self) -> int:
        """Stored messages that are not shown."""
        return self.total - self.shown

    @property
    def begins_with_summary(self) -> bool:
        """Whether the first unit stands for messages that are not shown."""
        if not len(self):
            return False
        _, first_bytes, _, _ = self._shapes[self._start]
        return _SUMMARY in self.encoded[: min(80, first_bytes)]

    def compacted(self, units: list[Unit]) -> History:
        """The history with these units in the place of all."""
        shown = sum(unit.messages for unit in units)
        size_bytes = sum(unit.size_bytes + _UNIT_BYTES for unit in units)
        return History(units, shown, size_bytes, self.total)

    def extended(self, made: list[Unit], limit: int, *, new_messages: int) -> History:
        """With `made` at the end, of at most `limit` messages, not beginning with a tool's return.

        Also of at most `MAX_WINDOW_BYTES`: a few huge messages must not end a conversation.
        `new_messages` is how many stored messages the whole history grew by.
        """
        shapes, start = self._own_shapes()
        shown, size_bytes = self.shown, self.size_bytes
        pieces = [self.encoded]
        for unit in made:
            shapes.append(unit[1:])
            pieces.append(bytes(unit.raw))
            shown += unit.messages
            size_bytes += unit.size_bytes + _UNIT_BYTES
        end, cut = len(shapes), 0
        while start < end:
            messages, unit_bytes, is_return, _ = shapes[start]
            if shown <= limit and size_bytes <= MAX_WINDOW_BYTES and not is_return:
                break
            shown -= messages
            size_bytes -= unit_bytes + _UNIT_BYTES
            cut += unit_bytes
            start += 1
        following = History([], shown, size_bytes, self.total + new_messages)
        following.encoded = b"".join(pieces)[cut:]
        following._shapes, following._start, following._end = shapes, start, end
        return following

    def _own_shapes(self) -> tuple[list[_Shape], int]:
        """A list to append to, and where this history begins in it."""
        if len(self._shapes) == self._end and self._start <= _MAX_FORMER:
            return self._shapes, self._start
        return self._shapes[self._start : self._end], 0
