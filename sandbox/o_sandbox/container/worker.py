"""A process for one call: enters its jail, runs the tool, ends."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import io
import json
import math
import os
import random
import resource
import signal
import site
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from o_sandbox.container.options import Options
from o_sandbox.jail import Jail, JailError, enter, missing
from o_sandbox.jail.seccomp import BASIC
from o_sandbox.outcome import Reason
from o_sandbox.protocol import Channel
from o_sandbox.worker import wire
from o_sandbox.worker.capabilities import Capabilities, offered
from o_sandbox.worker.connection import Connection, silence
from o_sandbox.worker.console import Console
from o_sandbox.worker.decorators import DECORATORS
from o_sandbox.worker.verdict import FILE_NAME, Ended, Verdict, described, encoded

CALLS: Final = BASIC | {
    "access", "arch_prctl", "dup", "dup2", "dup3", "epoll_create1", "epoll_ctl", "epoll_pwait",
    "epoll_wait", "eventfd2", "faccessat", "fcntl", "fdatasync", "fsync", "ftruncate", "getcwd",
    "getdents64", "getegid", "geteuid", "getgid", "getppid", "getuid", "ioctl", "lstat", "mkdir",
    "mkdirat", "open", "openat", "pipe2", "pselect6", "pwrite64", "readlink", "readlinkat",
    "rename", "renameat", "renameat2", "rmdir", "select", "set_robust_list", "socketpair", "stat",
    "statx", "times", "uname", "unlink", "unlinkat",
}  # fmt: skip
"""Files, threads and waiting; no socket that connects, no process, no signal. Landlock does not
guard what belongs to a file besides its content: so nothing that changes times, owner or mode."""
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/urandom")
_SYSTEM: Final = (
    "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/usr/share/zoneinfo",
    "/etc/ld.so.cache", "/etc/localtime",
)  # fmt: skip


def main() -> None:
    """`main DESCRIPTOR OPTIONS`."""
    options = msgspec.json.decode(sys.argv[2], type=Options)
    connection = Connection(int(sys.argv[1]))
    silence()
    try:
        layers = enter(_jail(options))
    except JailError as error:
        connection.send(wire.Refused(str(error)))
        return
    connection.send(wire.Ready([f"{layer.name}: {layer.detail}" for layer in missing(layers)]))
    start = connection.receive()
    if isinstance(start, wire.Start):
        connection.send(_Run(connection, start).done())
    os._exit(0)


class _Run:
    def __init__(self, host: Connection, start: wire.Start) -> None:
        self._start = start
        self._verdict = Verdict()
        self._console = Console(self._verdict, start.output_bytes, host)
        capabilities = Capabilities(self._verdict, start, self._console, host)
        sys.modules["o"] = _module("o", offered(capabilities))
        sys.modules.setdefault("o_agent", _module("o_agent", {}))
        sys.modules["o_agent.sdk"] = _module("o_agent.sdk", DECORATORS)

    def done(self) -> wire.Done:
        """How the call ended."""
        sys.stdout, sys.stderr = _Writer(self._console, "stdout"), _Writer(self._console, "stderr")
        reason, value, error = self._attempt()
        if self._verdict.forced is not None:
            (reason, error), value = self._verdict.forced, b"null"
        self._console.flush()
        return wire.Done(reason, value, error)

    def _attempt(self) -> tuple[Reason, bytes, str]:
        try:
            value = self._value()
            self._console.check_with(value)
        except MemoryError:
            limit = self._start.memory_bytes
            return "memory", b"null", f"the tool needed more than {limit} bytes of memory"
        except Ended:
            return "error", b"null", ""
        except SystemExit as error:
            return "trap", b"null", f"the tool tried to exit ({error.code})"
        except BaseException as error:  # noqa: BLE001 - whatever foreign code raises is its outcome
            return "error", b"null", described(error, self._start.code)
        return "ok", value, ""

    def _value(self) -> bytes:
        start = self._start
        random.seed(start.seed)
        module = _module("tool", {"__builtins__": builtins})
        sys.modules["tool"] = module
        exec(compile(start.code, FILE_NAME, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - in a jail
        function = getattr(module, start.entry, None)
        if not callable(function):
            raise NameError(f"the source defines no function {start.entry!r}")
        value = function(**json.loads(start.args))
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return encoded(value)


class _Writer(io.TextIOBase):
    """`sys.stdout` and `sys.stderr`."""

    def __init__(self, console: Console, channel: Channel) -> None:
        self._console = console
        self._channel = channel

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self._console.write(self._channel, text)
        return len(text)

    def flush(self) -> None:
        self._console.flush()


def _module(name: str, names: dict[str, Any]) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(names)
    return module


def _jail(options: Options) -> Jail:
    signal.setitimer(signal.ITIMER_PROF, options.cpu_s)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    own_bytes = pages * resource.getpagesize()
    return Jail(
        calls=CALLS,
        threads=True,
        executable_memory=True,
        readable=tuple(_readable()),
        writable=(options.scratch,) if options.scratch else (),
        memory_bytes=own_bytes + options.memory_bytes,
        cpu_s=math.ceil(options.cpu_s) + 1,  # in case the guest handles the timer's signal
        file_bytes=options.file_bytes,
        processes=128,  # the threads of this user
        required=options.required,
    )


def _readable() -> Iterator[str]:
    yield from _DEVICES
    yield from _SYSTEM
    yield from dict.fromkeys(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib"))
    for folder in dict.fromkeys([*site.getsitepackages(), *sys.path]):
        if Path(folder).name in {"site-packages", "dist-packages"}:
            yield folder
