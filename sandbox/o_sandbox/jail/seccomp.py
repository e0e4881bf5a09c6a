"""seccomp: a list of the system calls a process may still make; all others fail with EPERM.

The filter binds every thread at once. Three calls are judged by their arguments too: `clone` may
make threads of this process only, and `mmap` and `mprotect` no executable memory unless asked for.
"""

from __future__ import annotations

import ctypes
import errno
import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

from o_sandbox.jail.libc import gain_nothing_by_exec, syscall
from o_sandbox.jail.syscalls import AUDIT_X86_64, audit_code, number_of, numbers_of

BASIC: Final = frozenset(
    {
        "brk", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "exit", "exit_group",
        "fstat", "futex", "getcpu", "getpid", "getrandom", "getrusage", "gettid", "gettimeofday",
        "lseek", "madvise", "membarrier", "mmap", "mprotect", "mremap", "munmap", "nanosleep",
        "newfstatat", "poll", "ppoll", "pread64", "read", "readv", "recvfrom", "recvmsg",
        "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
        "sched_getaffinity", "sched_yield", "sendmsg", "sendto", "sigaltstack", "time", "write",
        "writev",
    }
)  # fmt: skip
"""Enough for an interpreter that computes and talks over a socket that is open already."""

_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1
_ALLOW: Final = 0x7FFF0000
_FAIL: Final = 0x00050000
_KILL: Final = 0x80000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _MASK, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_AT_NUMBER, _AT_MACHINE, _AT_ARGUMENTS = 0, 4, 16
_X32_BIT: Final = 0x40000000

_CLONE_THREAD: Final = 0x00010000
_CLONE_NEW_NAMESPACE: Final = 0x7E020080
_PROT_EXEC: Final = 4


class _Step(NamedTuple):
    code: int
    if_true: int
    if_false: int
    value: int


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Instruction)))


def allow_only(
    calls: Iterable[str], *, threads: bool = False, executable_memory: bool = False
) -> None:
    """Let this process make only these system calls from now on.

    Args:
        calls: names; those that this machine does not have are left out.
        threads: also start threads (`clone` without any new namespace; `clone3` says ENOSYS, so
            that the C library falls back).
        executable_memory: also map and protect memory as executable.

    Raises:
        KeyError: a call whose number is not known.
        OSError: the kernel has no seccomp, or refuses.
    """
    steps = _steps(frozenset(calls), threads=threads, executable_memory=executable_memory)
    array = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    program = _Program(len(steps), array)
    gain_nothing_by_exec()
    done = syscall(
        number_of("seccomp"), ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_ALL_THREADS),
        ctypes.byref(program),
    )  # fmt: skip
    if done:
        raise OSError(f"thread {done} of this process cannot be filtered")


def _steps(calls: frozenset[str], *, threads: bool, executable_memory: bool) -> list[_Step]:
    judged: frozenset[str] = frozenset({"clone", "clone3"})
    steps = _only_this_machine()
    if threads:
        steps += _thread_steps()
    if not executable_memory:
        judged |= {"mmap", "mprotect"}
        for name in calls & {"mmap", "mprotect"}:
            steps += _no_execution(number_of(name))
    for number in numbers_of(calls - judged):
        steps += [_Step(_EQUAL, 0, 1, number), _return(_ALLOW)]
    return [*steps, _return(_FAIL | errno.EPERM)]


def _only_this_machine() -> list[_Step]:
    """Another instruction set's numbers mean other calls."""
    code = audit_code()
    steps = [_Step(_LOAD, 0, 0, _AT_MACHINE), _Step(_EQUAL, 1, 0, code), _return(_KILL)]
    steps.append(_Step(_LOAD, 0, 0, _AT_NUMBER))
    if code == AUDIT_X86_64:
        steps += [_Step(_AT_LEAST, 0, 1, _X32_BIT), _return(_KILL)]
    return steps


def _thread_steps() -> list[_Step]:
    return [
        _Step(_EQUAL, 0, 1, number_of("clone3")),
        _return(_FAIL | errno.ENOSYS),
        _Step(_EQUAL, 0, 5, number_of("clone")),
        _Step(_LOAD, 0, 0, _argument(0)),
        _Step(_MASK, 0, 0, _CLONE_THREAD | _CLONE_NEW_NAMESPACE),
        _Step(_EQUAL, 0, 1, _CLONE_THREAD),
        _return(_ALLOW),
        _return(_FAIL | errno.EPERM),
    ]


def _no_execution(number: int) -> list[_Step]:
    return [
        _Step(_EQUAL, 0, 4, number),
        _Step(_LOAD, 0, 0, _argument(2)),
        _Step(_ANY_BIT, 0, 1, _PROT_EXEC),
        _return(_FAIL | errno.EPERM),
        _return(_ALLOW),
    ]


def _argument(index: int) -> int:
    """Where the low half of an argument lies."""
    return _AT_ARGUMENTS + 8 * index + (0 if sys.byteorder == "little" else 4)


def _return(value: int) -> _Step:
    return _Step(_RETURN, 0, 0, value)
