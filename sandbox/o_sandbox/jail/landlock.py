"""Landlock: what may be opened from now on. Files that are open already stay usable.

It binds the calling thread and what that starts later, so it comes before any other thread.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from typing import Final

from o_sandbox.jail.libc import gain_nothing_by_exec, syscall

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_CHANGE_FOLDER: Final = 0b1111111110000  # remove and make entries of every kind
_TRUNCATE: Final = 1 << 14
_IOCTL: Final = 1 << 15
_OF_FILES: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL
_MAKE_NODES: Final = (1 << 6) | (1 << 9) | (1 << 10) | (1 << 11)  # devices, sockets, pipes

_READABLE: Final = _EXECUTE | _READ | _LIST
_WRITABLE: Final = _READ | _LIST | _WRITE | _TRUNCATE | (_CHANGE_FOLDER & ~_MAKE_NODES)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The version this kernel offers; 0 where there is none."""
    try:
        return syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    except OSError:
        return 0


def restrict(readable: Iterable[str] = (), writable: Iterable[str] = ()) -> int:
    """Let this thread open only what lies beneath these paths; the version that is in force.

    `readable` paths may be executed too. A path that does not exist is left out.

    Raises:
        OSError: the kernel offers no Landlock, or refuses.
    """
    offered = version()
    if offered < 1:
        raise OSError("this kernel has no Landlock, or it is not in the boot parameter `lsm=`")
    handled = _handled(offered)
    rules = syscall(
        _CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(_size(offered)), ctypes.c_uint32(0)
    )
    try:
        for rights, paths in ((_READABLE, readable), (_WRITABLE, writable)):
            for path in paths:
                _allow(rules, path, rights & handled.files)
        gain_nothing_by_exec()
        syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)
    return offered


def _handled(offered: int) -> _Ruleset:
    files = (1 << 13) - 1
    for since, right in ((2, 1 << 13), (3, _TRUNCATE), (5, _IOCTL)):
        files |= right if offered >= since else 0
    return _Ruleset(files, 3 if offered >= 4 else 0, 3 if offered >= 6 else 0)


def _size(offered: int) -> int:
    return 8 if offered < 4 else 16 if offered < 6 else 24


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_FILES
        rule = _Beneath(rights, parent)
        syscall(
            _ADD_RULE, ctypes.c_int(rules), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule),
            ctypes.c_uint32(0),
        )  # fmt: skip
    finally:
        os.close(parent)
