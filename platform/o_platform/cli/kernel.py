"""What the kernel offers for confining instances and the tools in them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from o_platform.runtimes.finding import Finding

_SYS_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_VERSION: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


def kernel_findings() -> Iterator[Finding]:
    """Landlock, seccomp, user namespaces and cgroups."""
    yield _landlock()
    yield _seccomp()
    yield _user_namespaces()
    yield _cgroups()


def _landlock() -> Finding:
    version = _libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    if version < 1:
        return Finding(
            "note", "Landlock", "this kernel has none; see the tiers of the sandbox",
            "use a kernel from 5.13 on, with `landlock` in the boot parameter `lsm=`",
        )  # fmt: skip
    return Finding("good", "Landlock", f"version {version}")


def _seccomp() -> Finding:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if not actions.exists():
        return Finding(
            "weak", "seccomp", "this kernel filters no system calls", "use one with CONFIG_SECCOMP"
        )
    return Finding("good", "seccomp", "offered by the kernel")


def _user_namespaces() -> Finding:
    limit = _number("/proc/sys/user/max_user_namespaces")
    allowed = _number("/proc/sys/kernel/unprivileged_userns_clone")
    if limit == 0 or allowed == 0:
        return Finding(
            "note", "user namespaces", "not for ordinary users; as root nothing here needs them"
        )
    return Finding("good", "user namespaces", "offered by the kernel")


def _cgroups() -> Finding:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return Finding("good", "cgroups", "version 2")
    if Path("/sys/fs/cgroup/memory").exists():
        return Finding("good", "cgroups", "version 1")
    return Finding(
        "weak", "cgroups", "no memory controller: instances have no limits", "mount cgroup2"
    )


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
