"""A worker: enters its jail, then runs what it is sent, one call after the other.

A call that reaches its CPU budget is ended by the kernel (`ITIMER_PROF`, whose signal nobody
handles), whatever the guest or the C code under it does; so is the worker, and another takes over.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from o_sandbox.jail import Jail, JailError, LayerName, enter, missing
from o_sandbox.jail.seccomp import BASIC
from o_sandbox.restricted.guest import Guest
from o_sandbox.restricted.options import Options
from o_sandbox.worker import wire
from o_sandbox.worker.connection import Connection, HostGoneError, silence

MAX_MEMORY_BYTES: Final = 1024 * 1024 * 1024
_WARM_UP: Final = wire.Start(
    "import json\ndef f(x):\n    d = {}\n    d['a'] = json.dumps(x)\n    return d",
    "f", b'{"x": 1}', 1, 1.0, MAX_MEMORY_BYTES, 4096, 0, [],
)  # fmt: skip


class MemoryBound:
    """The address space of a call, on top of what the interpreter itself has."""

    def __init__(self) -> None:
        """Measure the interpreter."""
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        self._own_bytes = pages * resource.getpagesize()
        self._bound = 0

    @property
    def highest(self) -> int:
        """The bound that the jail sets for good."""
        return self._own_bytes + MAX_MEMORY_BYTES

    def lower_to(self, memory_bytes: int) -> None:
        """Allow a call this much; a system call only where the last call had another bound."""
        bound = self._own_bytes + min(memory_bytes, MAX_MEMORY_BYTES)
        if bound != self._bound:
            resource.setrlimit(resource.RLIMIT_AS, (bound, self.highest))
            self._bound = bound


def main() -> None:
    """`main DESCRIPTOR OPTIONS`."""
    serve(int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Options))


def serve(descriptor: int, options: Options) -> None:
    """Run calls that arrive over the socket until its other end closes."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    guest = Guest(connection)
    guest.run(_WARM_UP)
    gc.collect()
    gc.freeze()
    memory = MemoryBound()
    silence()
    try:
        layers = enter(_jail(memory.highest, options.required))
    except JailError as error:
        connection.send(wire.Refused(str(error)))
        return
    connection.send(wire.Ready([f"{layer.name}: {layer.detail}" for layer in missing(layers)]))
    try:
        while True:
            _serve_one(connection, guest, memory)
    except HostGoneError:
        return


def _serve_one(connection: Connection, guest: Guest, memory: MemoryBound) -> None:
    request = connection.receive()
    if not isinstance(request, wire.Start):
        return  # the answer to a host call of a run that ended meanwhile
    memory.lower_to(request.memory_bytes)
    signal.setitimer(signal.ITIMER_PROF, request.cpu_s)
    try:
        done = guest.run(request)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    connection.send(done)


def _jail(memory_bytes: int, required: frozenset[LayerName]) -> Jail:
    return Jail(
        calls=BASIC | {"setitimer", "prlimit64"},
        memory_bytes=memory_bytes,
        open_files=8,
        required=required,
    )
