"""Has the C library give large blocks back to the system as soon as they are free.

A guest may hand the engine texts of many megabytes. glibc takes the first such block from the
system and gives it back; but from then on it keeps blocks of that size, in an arena for each
thread, and an engine that served a few hostile guests held 100 MB more for good.
"""

from __future__ import annotations

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 128 * 1024


def give_back_large_blocks() -> None:
    """Fix what counts as large for this process; does nothing where the C library cannot."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
