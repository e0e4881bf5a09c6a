"""Calls of JavaScript tools: QuickJS, and a program in it that talks to the host over descriptors.

`guest/quickjs.js` says how. Descriptor 0 holds the request; what is written to 3 is a message, and
what is read from there the answer to it. Everything else of the world is that of `preview1`.
"""

from __future__ import annotations

import threading
from importlib.resources import files
from typing import Any, Final

import msgspec
import wasmtime
from msgspec import Struct

from o_sandbox.engine import preview1
from o_sandbox.engine.abi import AbiError, Guest
from o_sandbox.engine.call import Call
from o_sandbox.engine.ending import Ended
from o_sandbox.engine.guest_memory import GuestMemory, unsigned

HOST: Final = 3
_ARGUMENTS: Final = (b"qjs", b"-m", b"-e")
_IDENTIFIER: Final = "a function of JavaScript needs a plain name, not {!r}"


class _Message(Struct, frozen=True):
    """What the program says: a call of the host, or its reply."""

    call: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    reply: msgspec.Raw = msgspec.Raw()


class _Speech:
    """What goes over the descriptors of one call."""

    def __init__(self, request: bytes) -> None:
        self.incoming = {0: bytearray(_counted(request)), HOST: bytearray()}
        self.reply: bytes | None = None

    def take(self, descriptor: int, size: int) -> bytes:
        held = self.incoming[descriptor]
        taken = bytes(held[:size])
        del held[:size]
        return taken

    def hear(self, call: Call, content: bytes) -> None:
        message = _decoder.decode(content)
        if message.call is None:
            self.reply = bytes(message.reply)
            return
        answer = call.ask(message.call, bytes(message.arguments).decode("utf-8", "replace"))
        said = answer.content.encode()
        if not answer.ok:
            said = b'{"error":%b}' % msgspec.json.encode(answer.content)
        else:
            said = b'{"ok":%b}' % said
        self.incoming[HOST] += _counted(said)


class ScriptGuests:
    """Runs JavaScript tools, each in a QuickJS of its own."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        """`module` is QuickJS as a WASI reactor, compiled for `engine`."""
        self._module = module
        self._program = files("o_sandbox.guest").joinpath("quickjs.js").read_bytes()
        linker = wasmtime.Linker(engine)
        preview1.define(linker)
        linker.allow_shadowing = True
        preview1.define_function(linker, "fd_read", "iiii", _read)
        preview1.define_function(linker, "fd_write", "iiii", _write)
        self._linker = linker

    def run(self, call: Call, store: wasmtime.Store) -> Ended:
        """Run one tool on this thread.

        Raises:
            AbiError: the function's name is none.
            WasmtimeError, Trap: it was stopped, or stopped itself.
        """
        if not call.run.function.isidentifier():
            raise AbiError(_IDENTIFIER.format(call.run.function))
        speech = _thread.speech = _Speech(_request(call))
        exports: Any = self._linker.instantiate(store, self._module).exports(store)
        exports["_initialize"](store)
        memory = GuestMemory(store, exports["memory"])
        arguments = [
            _placed(exports, store, memory, each + b"\0") for each in (*_ARGUMENTS, self._program)
        ]
        table = b"".join(address.to_bytes(4, "little") for address in (*arguments, 0))
        exports["qjs_init_argv"](store, len(arguments), _placed(exports, store, memory, table))
        if speech.reply is None:
            return Ended("trap", error="the tool ended its interpreter")
        return Ended.from_reply(speech.reply.decode("utf-8", "replace"), call.meter)


def _placed(exports: Any, store: wasmtime.Store, memory: GuestMemory, content: bytes) -> int:
    address = unsigned(exports["malloc"](store, len(content)))
    memory.write(address, content)
    return address


def _request(call: Call) -> bytes:
    run = call.run
    return msgspec.json.encode(
        {
            "code": run.code.decode(errors="replace"),
            "function": run.function,
            "args": msgspec.Raw(run.arguments.encode()),
            "seed": call.chance.take(16).hex(),
        }
    )


def _counted(content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + content


def _read(call: Call, guest: Guest, fd: int, pieces: int, count: int, taken: int) -> int:
    if fd not in (0, HOST):
        return preview1.BAD_DESCRIPTOR
    total = 0
    for address, size in preview1.places(guest, pieces, count):
        content = _thread.speech.take(fd, size)
        guest.memory.write(address, content)
        total += len(content)
    guest.memory.write(taken, total.to_bytes(4, "little"))
    return preview1.OK


def _write(call: Call, guest: Guest, fd: int, pieces: int, count: int, written: int) -> int:
    if fd != HOST:
        return preview1.write(call, guest, fd, pieces, count, written)
    memory = guest.memory
    content = b"".join(memory.read(*place) for place in preview1.places(guest, pieces, count))
    try:
        _thread.speech.hear(call, content)
    except msgspec.MsgspecError as error:
        raise AbiError(f"the tool sent no message to its host: {error}") from None
    memory.write(written, len(content).to_bytes(4, "little"))
    return preview1.OK


_decoder: Final = msgspec.json.Decoder(_Message)
_thread: Final = threading.local()
