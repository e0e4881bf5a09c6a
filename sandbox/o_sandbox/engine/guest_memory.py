"""The memory of a core module, read and written by the host at addresses that the guest names.

An address and a length come from the guest, which may lie: both are checked against the memory as
it is at that moment, and nothing outside it is ever touched.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import wasmtime

_UNSIGNED: Final = 0xFFFFFFFF


class BadPointerError(Exception):
    """The guest named a place outside its memory."""


class GuestMemory:
    """One instance's memory while the instance lives."""

    __slots__ = ("_memory", "_store")

    def __init__(self, store: Any, memory: wasmtime.Memory) -> None:
        """`store`: the store, or the caller of a host function."""
        self._store, self._memory = store, memory

    def read(self, pointer: int, length: int) -> bytes:
        """A copy of `length` bytes from `pointer` on.

        Raises:
            BadPointerError: they do not lie in the memory.
        """
        start = self._place(pointer, length)
        return ctypes.string_at(start, length) if length else b""

    def write(self, pointer: int, content: bytes) -> None:
        """Copy `content` to `pointer`.

        Raises:
            BadPointerError: it does not fit there.
        """
        start = self._place(pointer, len(content))
        if content:
            ctypes.memmove(start, content, len(content))

    def text(self, pointer: int, length: int) -> str:
        """Text; what is no UTF-8 in it is replaced.

        Raises:
            BadPointerError: it does not lie in the memory.
        """
        return self.read(pointer, unsigned(length)).decode("utf-8", "replace")

    def number(self, pointer: int, size: int) -> int:
        """An unsigned number of `size` bytes, little-endian.

        Raises:
            BadPointerError: it does not lie in the memory.
        """
        return int.from_bytes(self.read(pointer, size), "little")

    def _place(self, pointer: int, length: int) -> int:
        """The host's address of a place that was checked."""
        start, size = unsigned(pointer), self._memory.data_len(self._store)
        if length < 0 or start + length > size:
            raise BadPointerError(
                f"the module named {length} bytes at {start}, but its memory has {size} bytes"
            )
        if not length:
            return 0
        return ctypes.addressof(self._memory.data_ptr(self._store).contents) + start


def unsigned(value: int) -> int:
    """An `i32` as the guest means it: addresses and lengths have no sign."""
    return value & _UNSIGNED
