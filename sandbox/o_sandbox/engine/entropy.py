"""Chance and time as a guest sees them: both follow from what its call was given.

A call that is run again with the same seed and the same start sees the same random bytes and the
same clock, so it computes the same. Time moves by a microsecond with every look at a clock and by
what `o.sleep` waits, never otherwise: a guest cannot time its host.
"""

from __future__ import annotations

import hashlib
from typing import Final

_BLOCK: Final = 4096
_BEGINNING: Final = 64
"""Most calls take no more than this of the first block, whose rest is then never computed."""
_STEP_NS: Final = 1_000
_NS: Final = 1_000_000_000


class Chance:
    """An endless stream of bytes from a seed (SHAKE-256 over a counter)."""

    __slots__ = ("_block", "_count", "_left_out", "_seed")

    def __init__(self, seed: bytes) -> None:
        """`seed`: any bytes; 16 or more random ones make the stream unguessable."""
        self._seed, self._count = seed, 1
        self._block = self._computed(0, _BEGINNING)
        self._left_out = True

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if len(self._block) < size and self._left_out:
            self._block += self._computed(0, _BLOCK)[_BEGINNING:]
            self._left_out = False
        while len(self._block) < size:
            self._block += self._computed(self._count, max(_BLOCK, size))
            self._count += 1
        taken, self._block = self._block[:size], self._block[size:]
        return taken

    def _computed(self, number: int, size: int) -> bytes:
        return hashlib.shake_256(self._seed + number.to_bytes(8, "big")).digest(size)


class Clock:
    """Starts when the call was made."""

    __slots__ = ("_elapsed_ns", "_start_ns")

    def __init__(self, start_ns: int) -> None:
        """`start_ns`: Unix time."""
        self._start_ns, self._elapsed_ns = start_ns, 0

    def monotonic_ns(self) -> int:
        """Nanoseconds on a clock that starts at one second."""
        self._elapsed_ns += _STEP_NS
        return _NS + self._elapsed_ns

    def unix(self) -> tuple[int, int]:
        """Seconds and nanoseconds since the epoch."""
        self._elapsed_ns += _STEP_NS
        return divmod(self._start_ns + self._elapsed_ns, _NS)

    def advance(self, seconds: float) -> None:
        """Let time pass, as after a sleep."""
        self._elapsed_ns += max(0, int(seconds * _NS))
