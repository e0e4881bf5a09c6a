"""Bytecode of tools, so that a source is compiled once and not in each of its calls."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

_LONGEST: Final = 256 * 1024
"""A tool whose source and bytecode are longer together (characters) is compiled in each call."""


class Bytecode:
    """What tools compiled to, by name and source, which it holds both; for many threads."""

    def __init__(self, room: int) -> None:
        """Keeps the tools that were used last, `room` characters in all."""
        self._room, self._taken = room, 0
        self._made: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._changing = threading.Lock()

    def get(self, name: str, source: str) -> str | None:
        """What it compiled to, empty if that is left to the call; None: nobody has tried."""
        if len(source) > _LONGEST:
            return ""
        with self._changing:
            made = self._made.get((name, source))
            if made is not None:
                self._made.move_to_end((name, source))
        return made

    def keep(self, name: str, source: str, made: str) -> str:
        """Remember it, and forget those that were not used for longest; what `get` now says."""
        if len(source) + len(made) > _LONGEST:
            made = ""
        with self._changing:
            self._forget(name, source)
            self._made[name, source] = made
            self._taken += len(source) + len(made)
            while self._taken > self._room:
                self._forget(*next(iter(self._made)))
        return made

    def _forget(self, name: str, source: str) -> None:
        made = self._made.pop((name, source), None)
        if made is not None:
            self._taken -= len(source) + len(made)
