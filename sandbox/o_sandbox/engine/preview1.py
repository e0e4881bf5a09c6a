"""WASI preview 1 for core modules: output, time, chance and an empty world.

Toolchains link these functions into whatever they build. Time and chance are the call's own
(`o_sandbox.engine.entropy`); there are no files, no arguments, no environment; what would wait is
refused, as everywhere here. All other functions exist, and answer that they are not supported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import wasmtime

from o_sandbox.engine.abi import AbiError, Body, Guest, guarded
from o_sandbox.engine.call import Call
from o_sandbox.engine.guest_memory import BadPointerError, unsigned

MODULE: Final = "wasi_snapshot_preview1"
OK: Final = 0
BAD_DESCRIPTOR: Final = 8
INVALID: Final = 28
NOT_SUPPORTED: Final = 52
_MOST_PIECES: Final = 1024
_LARGEST: Final = 0xFFFFFFFF
_MOST_RANDOM: Final = 1 << 20
_CHANNELS: Final = {1: "stdout", 2: "stderr"}
_CHARACTER_DEVICE: Final = 2
_RESOLUTION_NS: Final = 1000
_KINDS: Final = {"i": wasmtime.ValType.i32(), "I": wasmtime.ValType.i64()}

_UNSUPPORTED: Final = {
    "fd_advise": "iIIi", "fd_allocate": "iII", "fd_datasync": "i", "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII", "fd_filestat_get": "ii", "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi", "fd_pread": "iiiIi", "fd_pwrite": "iiiIi",
    "fd_readdir": "iiiIi", "fd_renumber": "ii", "fd_sync": "i", "fd_tell": "ii",
    "path_create_directory": "iii", "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi", "path_link": "iiiiiii", "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii", "path_remove_directory": "iii", "path_rename": "iiiiii",
    "path_symlink": "iiiii", "path_unlink_file": "iii", "proc_raise": "i", "sock_accept": "iii",
    "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
}  # fmt: skip


def define(linker: wasmtime.Linker) -> None:
    """Add the functions to a linker."""
    for name, parameters in _UNSUPPORTED.items():
        define_function(linker, name, parameters, _not_supported)
    for name, (parameters, body) in _FUNCTIONS.items():
        define_function(linker, name, parameters, body)
    exits = wasmtime.FuncType([_KINDS["i"]], [])
    linker.define_func(MODULE, "proc_exit", exits, guarded(_exit), access_caller=True)


def define_function(linker: wasmtime.Linker, name: str, parameters: str, body: Body) -> None:
    """Add one function that answers with a number; parameters are `i` and `I` for their sizes."""
    kind = wasmtime.FuncType([_KINDS[each] for each in parameters], [_KINDS["i"]])
    linker.define_func(MODULE, name, kind, guarded(body), access_caller=True)


def write(call: Call, guest: Guest, fd: int, pieces: int, count: int, written: int) -> int:
    """`fd_write`: pass on output."""
    channel = _CHANNELS.get(fd)
    if channel is None:
        return BAD_DESCRIPTOR
    memory, left = guest.memory, call.meter.limits.output_bytes + 1
    total = 0
    for address, size in places(guest, pieces, count):
        content = memory.read(address, size)
        call.emit(channel, content[:left].decode("utf-8", "replace"))
        total += size
    memory.write(written, (total & _LARGEST).to_bytes(4, "little"))
    return OK


def places(guest: Guest, pieces: int, count: int) -> Iterator[tuple[int, int]]:
    """Addresses and sizes that a vector of pieces lists.

    Raises:
        BadPointerError: the vector does not lie in the memory.
        AbiError: it is longer than any that a C library makes.
    """
    if unsigned(count) > _MOST_PIECES:
        raise AbiError(f"the module named {unsigned(count)} pieces; {_MOST_PIECES} are the most")
    memory = guest.memory
    for number in range(count):
        at = unsigned(pieces) + 8 * number
        if at > _LARGEST:
            raise BadPointerError(f"the module named a vector at {at}")
        yield memory.number(at, 4), memory.number(at + 4, 4)


def _not_supported(_call: Call, _guest: Guest, *_arguments: int) -> int:
    return NOT_SUPPORTED


def _read(_call: Call, guest: Guest, fd: int, _pieces: int, _count: int, taken: int) -> int:
    if fd != 0:
        return BAD_DESCRIPTOR
    guest.memory.write(taken, bytes(4))
    return OK


def _status(_call: Call, guest: Guest, fd: int, result: int) -> int:
    if fd not in (0, 1, 2):
        return BAD_DESCRIPTOR
    guest.memory.write(result, bytes([_CHARACTER_DEVICE]) + bytes(7) + b"\xff" * 16)
    return OK


def _bad_descriptor(_call: Call, _guest: Guest, *_arguments: int) -> int:
    return BAD_DESCRIPTOR


def _close(_call: Call, _guest: Guest, fd: int) -> int:
    return OK if fd in (0, 1, 2) else BAD_DESCRIPTOR


def _sizes(_call: Call, guest: Guest, count: int, size: int) -> int:
    guest.memory.write(count, bytes(4))
    guest.memory.write(size, bytes(4))
    return OK


def _nothing(_call: Call, _guest: Guest, *_arguments: int) -> int:
    return OK


def _time(call: Call, guest: Guest, clock: int, _precision: int, result: int) -> int:
    if clock == 0:
        seconds, nanoseconds = call.clock.unix()
        value = seconds * 1_000_000_000 + nanoseconds
    else:
        value = call.clock.monotonic_ns()
    guest.memory.write(result, value.to_bytes(8, "little"))
    return OK


def _resolution(_call: Call, guest: Guest, _clock: int, result: int) -> int:
    guest.memory.write(result, _RESOLUTION_NS.to_bytes(8, "little"))
    return OK


def _random(call: Call, guest: Guest, address: int, size: int) -> int:
    if unsigned(size) > _MOST_RANDOM:
        return INVALID
    guest.memory.write(address, call.chance.take(unsigned(size)))
    return OK


def _wait(call: Call, _guest: Guest, *_arguments: int) -> int:
    raise call.refuse_wait()


def _exit(call: Call, _guest: Guest, status: int) -> None:
    call.meter.end("trap", f"the module exited with status {status}")
    raise wasmtime.WasmtimeError("the module exited")


_FUNCTIONS: Final[dict[str, tuple[str, Body]]] = {
    "args_get": ("ii", _nothing),
    "args_sizes_get": ("ii", _sizes),
    "clock_res_get": ("ii", _resolution),
    "clock_time_get": ("iIi", _time),
    "environ_get": ("ii", _nothing),
    "environ_sizes_get": ("ii", _sizes),
    "fd_close": ("i", _close),
    "fd_fdstat_get": ("ii", _status),
    "fd_prestat_dir_name": ("iii", _bad_descriptor),
    "fd_prestat_get": ("ii", _bad_descriptor),
    "fd_read": ("iiii", _read),
    "fd_seek": ("iIii", _bad_descriptor),
    "fd_write": ("iiii", write),
    "poll_oneoff": ("iiii", _wait),
    "random_get": ("ii", _random),
    "sched_yield": ("", _nothing),
}
