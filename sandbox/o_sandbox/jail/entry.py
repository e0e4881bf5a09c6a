"""What a jail takes away, and the one function that enters it."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from o_sandbox.jail import landlock, rights, seccomp
from o_sandbox.jail.layers import Layer, LayerName, require
from o_sandbox.jail.libc import hide_from_siblings

REQUIRED: Final[frozenset[LayerName]] = frozenset({"rlimits", "seccomp"})
"""Without these a process has no jail at all. The list of system calls alone already rules out
opening a file, a socket or a process; the other layers say the same a second time."""


class Jail(Struct, frozen=True):
    """What a process keeps.

    `calls` are system calls by name (`o_sandbox.jail.seccomp.BASIC` to begin with). `readable` and
    `writable` are paths that may be opened beneath; `memory_bytes` bounds the address space and
    `cpu_s` the CPU time, both None for no bound. `file_bytes` is the size of the largest file it
    may write. `required` names the layers without which it must not go on.
    """

    calls: frozenset[str] = seccomp.BASIC
    threads: bool = False
    executable_memory: bool = False
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    own_namespaces: bool = True
    memory_bytes: int | None = None
    cpu_s: int | None = None
    file_bytes: int = 0
    open_files: int = 64
    processes: int = 0
    required: frozenset[LayerName] = REQUIRED


def enter(jail: Jail) -> list[Layer]:
    """Confine this process for good; which layers hold.

    Call it before any second thread exists: Landlock and namespaces bind the calling thread alone.

    Raises:
        JailError: a required layer does not hold. Part of the jail may be in force by then, so the
            process should end.
    """
    layers = list(_enter_each(jail))
    require(layers, jail.required)
    return layers


def _enter_each(jail: Jail) -> Iterator[Layer]:
    yield _layer("rlimits", lambda: _bound(jail))
    if jail.own_namespaces:
        yield _layer("namespaces", rights.leave_namespaces)
    yield _layer("capabilities", _drop_rights)
    yield _layer("landlock", lambda: _restrict_files(jail))
    yield _layer("seccomp", lambda: _filter_calls(jail))


def _layer(name: LayerName, put_on: Callable[[], str]) -> Layer:
    try:
        return Layer(name, True, put_on())
    except (OSError, ValueError) as error:
        return Layer(name, False, str(error))


def _bound(jail: Jail) -> str:
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: jail.file_bytes,
        resource.RLIMIT_NOFILE: jail.open_files,
        resource.RLIMIT_NPROC: jail.processes,
        resource.RLIMIT_AS: jail.memory_bytes,
        resource.RLIMIT_CPU: jail.cpu_s,
    }
    for kind, value in bounds.items():
        if value is not None:
            rights.lower_limit(kind, value)
    return "core dumps, file size, open files, processes"


def _drop_rights() -> str:
    rights.drop_capabilities()
    hide_from_siblings()
    return "none left"


def _restrict_files(jail: Jail) -> str:
    return f"version {landlock.restrict(jail.readable, jail.writable)}"


def _filter_calls(jail: Jail) -> str:
    seccomp.allow_only(jail.calls, threads=jail.threads, executable_memory=jail.executable_memory)
    return f"{len(jail.calls)} system calls allowed"
