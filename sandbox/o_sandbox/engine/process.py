"""An engine process: load, fill the pool, enter the jail, serve.

Order matters. What was compiled is loaded and the socket opened before the jail shuts; threads
start after it, since Landlock binds the thread that asks for it and those which that one starts.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import wasmtime
from wasmtime import component as wasm

from o_sandbox.artifacts import ArtifactName
from o_sandbox.cache import CompiledCache
from o_sandbox.compiled import compiled
from o_sandbox.engine import configuration
from o_sandbox.engine.allocator import give_back_large_blocks
from o_sandbox.engine.epochs import Ticker
from o_sandbox.engine.module_guest import ModuleGuests
from o_sandbox.engine.python_guest import PythonGuests
from o_sandbox.engine.quickjs_guest import ScriptGuests
from o_sandbox.engine.server import Server
from o_sandbox.engine.settings import EngineSettings, Ready
from o_sandbox.jail import Jail, enter
from o_sandbox.jail.seccomp import BASIC

CALLS: Final = BASIC | {
    "accept4", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "fcntl",
    "getsockopt", "prctl", "sched_getaffinity", "set_robust_list", "setsockopt", "shutdown",
}  # fmt: skip
"""System calls of an engine that serves no folder."""
READING: Final[frozenset[str]] = frozenset(
    {"fstat", "getdents64", "newfstatat", "openat", "openat2", "readlinkat", "statx"}
)
"""What an engine with a folder of packages needs besides; Landlock lets it open nothing else."""
_SPARE_FILES: Final = 64
log = logging.getLogger("o_sandbox.engine")


def main() -> None:
    """`main SETTINGS LISTENER STATUS`: JSON, and two file descriptors."""
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    settings = EngineSettings.from_json(sys.argv[1])
    listener = socket.socket(fileno=int(sys.argv[2]))
    serve(settings, listener, int(sys.argv[3]), starter=sys.stdin.fileno())


def serve(
    settings: EngineSettings, listener: socket.socket, status: int, *, starter: int | None = None
) -> None:
    """Be an engine until the process ends.

    Args:
        settings: what to serve, and how.
        listener: where callers connect.
        status: a descriptor that gets one line, `Ready` as JSON, when calls can be made.
        starter: a pipe that whoever started this holds open; the process ends with it.

    Raises:
        JailError: a required layer of the jail does not hold.
        SandboxUnavailableError: the package does not carry what it has to serve.
    """
    started = time.perf_counter()
    give_back_large_blocks()
    room = 2 * (settings.idle + 1 + settings.calls)
    engine = configuration.engine(
        room,
        settings.memory_bytes,
        settings.resident_bytes,
        foreign=settings.guests == "modules",
    )
    guests = _guests(engine, settings)
    resident = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    layers = enter(_jail(settings))
    ticker = Ticker(engine, settings.tick_s)
    ticker.start()
    guests.start()
    server = Server(listener, guests, settings, ticker, resident)
    ready = Ready(layers, time.perf_counter() - started)
    os.write(status, msgspec.json.encode(ready) + b"\n")
    os.close(status)
    if starter is not None:
        threading.Thread(target=_end_with, args=(starter,), name="starter", daemon=True).start()
    server.serve()


def _guests(engine: wasmtime.Engine, settings: EngineSettings) -> PythonGuests | ModuleGuests:
    cache = CompiledCache(Path(settings.cache))
    if settings.guests == "modules":
        threading.stack_size(2 * configuration.FOREIGN_STACK)  # of those that run calls
        with _opened("quickjs", cache) as path:
            quickjs = wasmtime.Module.deserialize_file(engine, path)
        return ModuleGuests(engine, settings, ScriptGuests(engine, quickjs))
    with _opened("python", cache) as path:
        component = wasm.Component.deserialize_file(engine, path)
    return PythonGuests(engine, component, settings)


@contextmanager
def _opened(name: ArtifactName, cache: CompiledCache) -> Iterator[str]:
    """A path to what was checked: the file that is open, whatever the name stands for by now."""
    descriptor = compiled(name, cache)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _jail(settings: EngineSettings) -> Jail:
    packages = (settings.packages,) if settings.packages else ()
    return Jail(
        calls=CALLS | (READING if packages else frozenset()),
        threads=True,
        executable_memory=settings.guests == "modules",
        readable=packages,
        open_files=_SPARE_FILES + 2 * settings.calls,
        processes=1024,
        required=settings.required,
    )


def _end_with(starter: int) -> None:
    while os.read(starter, 4096):
        pass
    os._exit(0)
