"""Resource limits, root's rights and namespaces: what a process gives up before it is filtered."""

from __future__ import annotations

import ctypes
import errno
import resource
from typing import Final

from o_sandbox.jail.libc import prctl, syscall, unshare
from o_sandbox.jail.syscalls import number_of

_NEW_UTS: Final = 0x04000000
_NEW_IPC: Final = 0x08000000
_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000

_CAPABILITY_VERSION_3: Final = 0x20080522
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_LAST_CAPABILITY: Final = 63


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def lower_limit(kind: int, value: int) -> None:
    """Set a resource limit for good, never above what already holds."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def leave_namespaces() -> str:
    """Move to a network, IPC and host name of its own; how that was done.

    Raises:
        OSError: neither root's right nor a user namespace of its own may do that here.
    """
    own = _NEW_NETWORK | _NEW_IPC | _NEW_UTS
    try:
        unshare(own)
    except PermissionError:
        unshare(own | _NEW_USER)
        return "network, IPC, host name; by a user namespace"
    return "network, IPC, host name"


def drop_capabilities() -> None:
    """Give up every right of root, also for programs that this process starts.

    Raises:
        OSError: the kernel refused.
    """
    for capability in range(_LAST_CAPABILITY + 1):
        if not _drop_from_bound(capability):
            break
    try:
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    header = _Header(_CAPABILITY_VERSION_3, 0)
    syscall(number_of("capset"), ctypes.byref(header), ctypes.byref((_Sets * 2)()))


def _drop_from_bound(capability: int) -> bool:
    """Whether there is such a capability; without the right to drop it the process lacks it."""
    try:
        prctl(_PR_CAPBSET_READ, capability)
    except OSError:
        return False
    try:
        prctl(_PR_CAPBSET_DROP, capability)
    except PermissionError:
        return False
    return True
