"""Closes the holes that importing leaves in the heap, so that what a call allocates lies together.

An instance shares the component's memory image until it writes to a page, which is then copied:
the fewer pages a call writes to, the sooner it is done and the less it holds. The allocator of
wasi-libc (dlmalloc: no allocator of CPython's own is above it) takes the hole that fits best, and
after the imports there are thousands, all over thirty megabytes.
"""

import array
import gc
import struct
import sys
import types

_MARK = b" stcejbo fo sesserdda :xobdnas-o"
"""The other way round, so that it is in the image once."""
_PASSING = types.FrameType, types.GeneratorType, types.CoroutineType, types.TracebackType
_HOLDERS = tuple, types.CodeType
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


def objects():
    """All objects, many more than once; as long as this list lives, none of them is freed.

    Takes little memory, since all that is taken here stays in the image.
    """
    held = []
    for each in gc.get_objects():
        if not isinstance(each, _PASSING):
            held.append(each)
            left = [inner for inner in gc.get_referents(each) if _is_mortal_leaf(inner)]
            while left:
                inner = left.pop()
                held.append(inner)
                if isinstance(inner, types.CodeType):
                    inner = inner.co_consts, inner.co_names, inner.co_varnames
                if isinstance(inner, tuple):
                    left += filter(_is_mortal_leaf, inner)
    return held


def marked(held):
    """Where the build finds this list in the memory image, and its length."""
    return array.array("I", _MARK[::-1] + struct.pack("<II", id(held), len(held)))


def _is_mortal_leaf(each):
    return not gc.is_tracked(each) and (type(each) in _HOLDERS or not sys._is_immortal(each))
