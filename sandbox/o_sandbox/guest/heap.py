"""Closes the holes that importing leaves in the heap, so that what a call allocates lies together.

An instance shares the component's memory image until it writes to a page, which is then copied:
the fewer pages a call writes to, the sooner it is done and the less it holds. The allocator of
wasi-libc (dlmalloc: no allocator of CPython's own is above it) takes the hole that fits best, and
after the imports there are thousands, all over thirty megabytes.
"""

import sys

_HEAD = sys.getsizeof(b"")
_GRAIN = 16
"""Blocks are multiples of this, bytes."""
_OWN = 4
"""What the allocator needs of a block for itself, bytes."""
_LARGEST = 32 * 1024
_ROOM = 1024 * 1024
_IN_A_ROW = 32


def closed():
    """Blocks in all holes, to be kept for good; free memory begins after them."""
    kept, size = [], _LARGEST
    while size > 512:
        kept.append(_row(lambda block=size: bytes(block - _OWN - _HEAD), size))
        size = (size * 15 // 16) & -_GRAIN
    for size in range(512, _GRAIN, -_GRAIN):
        kept.append(_row(lambda block=size: bytes(block - _OWN - _HEAD), size))
    kept.append(_row(object, _GRAIN))
    bytes(_ROOM)  # grown to now, so that a call need not
    return kept


def _row(make, size):
    """Blocks of one size, until they follow one another: then no hole was left."""
    row, in_a_row, last = [], 0, 0
    while in_a_row < max(2, min(_IN_A_ROW, 8192 // size)):
        row.append(make())
        in_a_row = in_a_row + 1 if id(row[-1]) - last == size else 0
        last = id(row[-1])
    return row
