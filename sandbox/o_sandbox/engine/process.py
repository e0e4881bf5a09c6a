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
from pathlib import Path
from typing import Final

import msgspec
import wasmtime
from msgspec import Struct
from wasmtime import component as wasm

from o_sandbox.cache import CompiledCache
from o_sandbox.engine import configuration
from o_sandbox.engine.compilation import compiled
from o_sandbox.engine.epochs import Ticker
from o_sandbox.engine.python_guest import PythonGuests
from o_sandbox.engine.server import Server
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.jail import Jail, Layer, enter
from o_sandbox.jail.seccomp import BASIC

CALLS: Final = BASIC | {
    "accept4", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "fcntl",
    "getsockopt", "prctl", "sched_getaffinity", "set_robust_list", "setsockopt", "shutdown",
}  # fmt: skip
"""System calls of an engine that serves no folder."""
_SPARE_FILES: Final = 64
_RESIDENT_BYTES: Final = 4 * 1024 * 1024
log = logging.getLogger("o_sandbox.engine")


class Ready(Struct, frozen=True):
    """What an engine says when it serves: the layers of its jail, and how long the start took."""

    layers: list[Layer]
    load_s: float


def main() -> None:
    """`main SETTINGS LISTENER STATUS`: JSON, and two file descriptors."""
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    settings = EngineSettings.from_json(sys.argv[1])
    listener = socket.socket(fileno=int(sys.argv[2]))
    _serve(settings, listener, int(sys.argv[3]))


def _serve(settings: EngineSettings, listener: socket.socket, status: int) -> None:
    started = time.perf_counter()
    room = settings.idle + 2 * settings.calls
    engine = configuration.engine(room, settings.memory_bytes, _RESIDENT_BYTES)
    guests = PythonGuests(engine, _component(engine, settings), settings)
    resident = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    layers = enter(_jail(settings))
    Ticker(engine, settings.tick_s).start()
    guests.start()
    server = Server(listener, guests, settings, resident)
    ready = Ready(layers, time.perf_counter() - started)
    os.write(status, msgspec.json.encode(ready) + b"\n")
    os.close(status)
    threading.Thread(target=_end_with_starter, name="starter", daemon=True).start()
    server.serve()


def _component(engine: wasmtime.Engine, settings: EngineSettings) -> wasm.Component:
    descriptor = compiled("python", CompiledCache(Path(settings.cache)))
    try:
        return wasm.Component.deserialize_file(engine, f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _jail(settings: EngineSettings) -> Jail:
    return Jail(
        calls=CALLS,
        threads=True,
        executable_memory=settings.guests == "modules",
        open_files=_SPARE_FILES + 2 * settings.calls,
        processes=1024,
        required=settings.required,
    )


def _end_with_starter() -> None:
    """Standard input is a pipe that whoever started this holds open."""
    while os.read(0, 4096):
        pass
    os._exit(0)
