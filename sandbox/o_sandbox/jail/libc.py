"""The few system calls that a jail is made of, called through the C library."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

_libc: Final = ctypes.CDLL(None, use_errno=True)

_PR_SET_DUMPABLE: Final = 4
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def syscall(number: int, *arguments: Any) -> int:
    """Call the kernel.

    Raises:
        OSError: the kernel refused, with its error number.
    """
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    return _checked(result)


def prctl(option: int, *arguments: int) -> int:
    """Change a property of this process.

    Raises:
        OSError: the kernel refused.
    """
    padded = [*arguments, 0, 0, 0, 0][:4]
    result: int = _libc.prctl(option, *map(ctypes.c_ulong, padded))
    return _checked(result)


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` name.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_libc.unshare(ctypes.c_int(flags)))


def gain_nothing_by_exec() -> None:
    """Rule out rights by set-user-id programs; Landlock and seccomp need that."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_from_siblings() -> None:
    """No core dump, and no tracing by processes of the same user."""
    prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent(signal_number: int) -> None:
    """Get this signal when the thread that started the process ends."""
    prctl(_PR_SET_PDEATHSIG, signal_number)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
