"""Texts in pieces that a search can find: cut where a reader would, whole lines if possible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

SMALLEST_CHUNK: Final = 100
LARGEST_CHUNK: Final = 50_000
"""Characters."""
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|\s+")


class Chunk(NamedTuple):
    """A piece of a text; `line` is where it begins, counted from 1."""

    text: str
    line: int


def chunked(text: str, size: int) -> list[Chunk]:
    """The text in pieces of at most `size` characters (>= 1), blank ones left out.

    A piece ends before a heading or after a blank line if it is at least half full by then, else
    where the next line would not fit; a line that is too long is cut between words.
    """
    pieces: list[Chunk] = []
    lines: list[str] = []
    length, first = 0, 1
    for number, line in _fitting_lines(text, size):
        full = length + len(line) + 1 > size
        paused = length >= size / 2 and (line.startswith("#") or not line.strip())
        if lines and (full or paused):
            pieces.append(Chunk("\n".join(lines), first))
            lines, length = [], 0
        if not lines:
            first = number
        lines.append(line)
        length += len(line) + 1
    if lines:
        pieces.append(Chunk("\n".join(lines), first))
    return [piece for piece in pieces if piece.text.strip()]


def _fitting_lines(text: str, size: int) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        while len(line) > size:
            cut = _cut(line, size)
            yield number, line[:cut].rstrip()
            line = line[cut:].lstrip()
        yield number, line


def _cut(line: str, size: int) -> int:
    """Where to cut a line: after a sentence, else after a word, else anywhere."""
    ends = [match.end() for match in _SENTENCE_END.finditer(line, size // 2, size)]
    sentences = [end for end in ends if line[:end].rstrip()[-1:] in ".!?"]
    return (sentences or ends or [size])[-1]
