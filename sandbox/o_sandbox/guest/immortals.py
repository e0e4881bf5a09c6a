"""Makes the objects in a component's memory image immortal: `python -I immortals.py FILE`.

CPython counts the references to every object in the object, so an interpreter writes to a page of
its image (which is then copied) whenever it only looks at something there. It leaves the counts of
immortal objects alone (PEP 683). Nothing in the image need ever be freed, as an instance serves one
call, so all of it may be immortal. The guest has left the addresses of its objects in the image
(`heap.marked`), behind a mark; their counts are overwritten in the data segments.
"""

from __future__ import annotations

import re
import struct
import sys
from bisect import bisect_right
from pathlib import Path
from typing import Final, NamedTuple

_MARK: Final = re.compile(rb"o-sandbox: addresses of objects (.{8})", re.DOTALL)
"""It is followed by a list's address and its length."""
_WORD: Final = struct.Struct("<I")
_LIST_SIZE, _LIST_ITEMS = 8, 12
"""Where a list keeps its length and the address of its items."""
IMMORTAL: Final = 5 << 28
"""The count that CPython 3.14 gives them where a pointer has 32 bits."""
_MORTAL_BELOW: Final = 1 << 28
_MODULE, _DATA = 1, 11
_ACTIVE, _CONST, _END = 0, 0x41, 0x0B
_FEWEST: Final = 50_000


class ImageError(Exception):
    """The file is not what componentize-py makes of the guest."""


class Segment(NamedTuple):
    """Bytes of a file that become memory."""

    address: int
    position: int
    size: int


class Image:
    """The memory that a component begins with, as it lies in the component's file."""

    def __init__(self, content: bytearray) -> None:
        """`content` is the file, and is written to."""
        self._content = content
        self._segments = max((_segments(content, *each) for each in _modules(content)), key=len)
        self._starts = [segment.address for segment in self._segments]

    def word(self, address: int) -> int:
        """Four bytes of it; 0 where it holds nothing."""
        position = self._position(address)
        return 0 if position is None else int(_WORD.unpack_from(self._content, position)[0])

    def put(self, address: int, value: int) -> None:
        """Overwrite a word that is not 0."""
        position = self._position(address)
        if position is None:
            raise ImageError(f"the image holds nothing at {address:#x}")
        _WORD.pack_into(self._content, position, value)

    def _position(self, address: int) -> int | None:
        segment = self._segments[max(0, bisect_right(self._starts, address) - 1)]
        inside = address - segment.address
        return segment.position + inside if 0 <= inside <= segment.size - 4 else None


def main() -> None:
    """Rewrite the file that the command line names."""
    path = Path(sys.argv[1])
    content = bytearray(path.read_bytes())
    make_immortal(content)
    path.write_bytes(content)


def make_immortal(content: bytearray) -> int:
    """Change the counts in place; how many.

    Raises:
        ImageError: the image or the list of objects in it is not as expected.
    """
    image, changed = Image(content), 0
    for address in _objects(content, image):
        if 0 < image.word(address) < _MORTAL_BELOW:
            image.put(address, IMMORTAL)
            changed += 1
    if changed < _FEWEST:
        raise ImageError(f"only {changed} objects could be made immortal")
    return changed


def _objects(content: bytearray, image: Image) -> list[int]:
    """The items of the list that is marked, which is empty afterwards: so the image packs smaller.

    Copies of the mark that the guest made on its way, and that were overwritten, lead to no list
    of the length that they say.
    """
    for mark in _MARK.finditer(content):
        held, count = struct.unpack("<II", mark[1])
        items = image.word(held + _LIST_ITEMS)
        if count > _FEWEST and image.word(held + _LIST_SIZE) == count:
            places = range(items, items + 4 * count, 4)
            addresses = [image.word(place) for place in places]
            for place in (held + _LIST_SIZE, *places):
                image.put(place, 0)
            return addresses
    raise ImageError("the list of objects is not marked")


def _modules(content: bytearray) -> list[tuple[int, int]]:
    """Where the sections of each core module begin and end."""
    found, at = [], 8
    while at < len(content):
        kind = content[at]
        size, at = _number(content, at + 1)
        if kind == _MODULE:
            found.append((at + 8, at + size))
        at += size
    return found


def _segments(content: bytearray, at: int, end: int) -> list[Segment]:
    found: list[Segment] = []
    while at < end:
        kind = content[at]
        size, at = _number(content, at + 1)
        if kind == _DATA:
            found += _active(content, at)
        at += size
    return sorted(found)


def _active(content: bytearray, at: int) -> list[Segment]:
    found = []
    count, at = _number(content, at)
    for _ in range(count):
        kind, at = _number(content, at)
        if kind != _ACTIVE or content[at] != _CONST:
            return []  # no memory image
        address, at = _number(content, at + 1)
        if content[at] != _END:
            raise ImageError("a data segment at a computed address")
        size, at = _number(content, at + 1)
        found.append(Segment(address, at, size))
        at += size
    return found


def _number(content: bytearray, at: int) -> tuple[int, int]:
    """A number in LEB128, and where it ends; all are positive, so signed ones read the same."""
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


if __name__ == "__main__":
    main()
