"""Numbers of the system calls that jails name, for the machines that this package runs on."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import Final

AUDIT_X86_64: Final = 0xC000003E
AUDIT_AARCH64: Final = 0xC00000B7

_X86_64: Final[Mapping[str, int]] = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7,
    "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "pwrite64": 18,
    "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23, "sched_yield": 24,
    "mremap": 25, "madvise": 28, "dup": 32, "dup2": 33, "pause": 34, "nanosleep": 35,
    "getitimer": 36, "setitimer": 38, "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "recvmsg": 47, "shutdown": 48, "getsockname": 51, "getpeername": 52, "socketpair": 53,
    "setsockopt": 54, "getsockopt": 55, "clone": 56, "exit": 60, "uname": 63, "fcntl": 72,
    "fsync": 74, "fdatasync": 75, "ftruncate": 77, "getcwd": 79, "rename": 82, "mkdir": 83,
    "rmdir": 84, "unlink": 87, "readlink": 89, "gettimeofday": 96, "getrusage": 98, "times": 100,
    "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "capset": 126,
    "sigaltstack": 131, "sched_getparam": 143, "sched_getscheduler": 145, "prctl": 157,
    "arch_prctl": 158, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204,
    "getdents64": 217, "set_tid_address": 218, "restart_syscall": 219, "timer_create": 222,
    "timer_settime": 223, "timer_delete": 226, "clock_gettime": 228, "clock_getres": 229,
    "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "tgkill": 234,
    "openat": 257, "mkdirat": 258, "newfstatat": 262, "unlinkat": 263, "renameat": 264,
    "readlinkat": 267, "faccessat": 269, "pselect6": 270, "ppoll": 271, "set_robust_list": 273,
    "get_robust_list": 274, "utimensat": 280, "epoll_pwait": 281, "timerfd_create": 283,
    "eventfd": 284, "timerfd_settime": 286, "accept4": 288, "eventfd2": 290, "epoll_create1": 291,
    "dup3": 292, "pipe2": 293, "prlimit64": 302, "getcpu": 309, "renameat2": 316, "seccomp": 317,
    "getrandom": 318, "memfd_create": 319, "membarrier": 324, "statx": 332, "rseq": 334,
    "clone3": 435, "close_range": 436, "openat2": 437, "epoll_pwait2": 441,
}  # fmt: skip
_AARCH64: Final[Mapping[str, int]] = {
    "getcwd": 17, "eventfd2": 19, "epoll_create1": 20, "epoll_ctl": 21, "epoll_pwait": 22,
    "dup": 23, "dup3": 24, "fcntl": 25, "ioctl": 29, "mkdirat": 34, "unlinkat": 35,
    "renameat": 38, "ftruncate": 46, "faccessat": 48, "openat": 56, "close": 57, "pipe2": 59,
    "getdents64": 61, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66,
    "pread64": 67, "pwrite64": 68, "pselect6": 72, "ppoll": 73, "readlinkat": 78,
    "newfstatat": 79, "fstat": 80, "fsync": 82, "fdatasync": 83, "timerfd_create": 85,
    "timerfd_settime": 86, "utimensat": 88, "capset": 91, "exit": 93, "exit_group": 94,
    "set_tid_address": 96, "futex": 98, "set_robust_list": 99, "get_robust_list": 100,
    "nanosleep": 101, "getitimer": 102, "setitimer": 103, "timer_create": 107,
    "timer_settime": 110, "timer_delete": 111, "clock_gettime": 113, "clock_getres": 114,
    "clock_nanosleep": 115, "sched_getscheduler": 120, "sched_getparam": 121,
    "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "tgkill": 131,
    "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
    "times": 153, "uname": 160, "getrusage": 165, "prctl": 167, "getcpu": 168,
    "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174, "geteuid": 175,
    "getgid": 176, "getegid": 177, "gettid": 178, "socketpair": 199, "getsockname": 204,
    "getpeername": 205, "sendto": 206, "recvfrom": 207, "setsockopt": 208, "getsockopt": 209,
    "shutdown": 210, "sendmsg": 211, "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216,
    "clone": 220, "mmap": 222, "mprotect": 226, "madvise": 233, "accept4": 242,
    "prlimit64": 261, "renameat2": 276, "seccomp": 277, "getrandom": 278, "memfd_create": 279,
    "membarrier": 283, "statx": 291, "rseq": 293, "clone3": 435, "close_range": 436, "openat2": 437,
    "epoll_pwait2": 441,
}  # fmt: skip
_MACHINES: Final[Mapping[str, tuple[int, Mapping[str, int]]]] = {
    "x86_64": (AUDIT_X86_64, _X86_64),
    "aarch64": (AUDIT_AARCH64, _AARCH64),
}


def audit_code() -> int:
    """What the kernel calls this machine's instruction set in a filter.

    Raises:
        OSError: a machine whose numbers are not known here.
    """
    return _machine()[0]


def number_of(name: str) -> int:
    """The number of a call on this machine.

    Raises:
        KeyError: this machine has no such call, or it is not in the table.
        OSError: a machine whose numbers are not known here.
    """
    return _machine()[1][name]


def numbers_of(names: Iterable[str]) -> list[int]:
    """The numbers of those calls that this machine has, in order.

    Raises:
        KeyError: a name that no machine's table has.
        OSError: a machine whose numbers are not known here.
    """
    table = _machine()[1]
    known = set(names)
    unknown = known - set(_X86_64) - set(_AARCH64)
    if unknown:
        raise KeyError(f"no number is known for the calls {', '.join(sorted(unknown))}")
    return sorted(table[name] for name in known if name in table)


def _machine() -> tuple[int, Mapping[str, int]]:
    machine = platform.machine()
    try:
        return _MACHINES[machine]
    except KeyError:
        raise OSError(f"system calls of {machine!r} are not known here") from None
