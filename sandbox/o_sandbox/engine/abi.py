"""The JSON ABI of core modules: what they export, and the functions `o.*` that they may import.

| export | type | what it does |
|---|---|---|
| `memory` | memory | where arguments and results lie |
| `alloc` | `(size: i32) -> i32` | the address of `size` bytes that the module leaves alone |
| the tool's function, or `run` | `(address, size: i32) -> i64` | from JSON object to JSON value |

A result is `address << 32 | size`. A module is instantiated for one call, so nothing need be freed.

| import from `o` | type | what it does |
|---|---|---|
| `call` | `(name, size, arguments, size: i32) -> i64` | calls a capability |
| `print` | `(channel, text, size: i32)` | output; channel 2 is standard error |
| `fail` | `(text, size: i32)` | ends the call with the reason `error` |
| `random` | `(address, size: i32)` | fills a place with random bytes |
| `now` | `() -> i64` | nanoseconds since 1970 |

A capability's answer is `{"ok": value}` or `{"error": text}`, and lies where `alloc` said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec
import wasmtime

from o_sandbox.engine import call as calls
from o_sandbox.engine.call import Call
from o_sandbox.engine.guest_memory import BadPointerError, GuestMemory, unsigned

MODULE: Final = "o"
ALLOC: Final = "alloc"
MEMORY: Final = "memory"
_MOST_RANDOM: Final = 1 << 20
_MESSAGE_CHARS: Final = 4096
Body = Callable[..., Any]
log = logging.getLogger("o_sandbox.engine")


class AbiError(Exception):
    """A module does not export what the ABI asks for; the message says what."""


class Guest:
    """The instance that called the host."""

    __slots__ = ("_caller",)

    def __init__(self, caller: wasmtime.Caller) -> None:
        """`caller` is valid as long as the host function runs."""
        self._caller = caller

    @property
    def memory(self) -> GuestMemory:
        """Its memory.

        Raises:
            AbiError: it exports none.
        """
        return GuestMemory(self._caller, memory_of(self._caller.get(MEMORY)))

    def give(self, content: bytes) -> int:
        """Copy `content` to where the guest wants it; the packed address and size.

        Raises:
            AbiError: it exports no `alloc`.
            BadPointerError: its `alloc` answers with a place outside its memory.
        """
        alloc = function_of(self._caller.get(ALLOC), ALLOC, ("i32",), ("i32",))
        address = alloc(self._caller, len(content))
        self.memory.write(address, content)
        return signed(unsigned(address) << 32 | len(content))


def define(linker: wasmtime.Linker) -> None:
    """Add the functions of `o` to a linker."""
    for name, (parameters, results, body) in _FUNCTIONS.items():
        kind = wasmtime.FuncType([_TYPES[one] for one in parameters], [_TYPES[r] for r in results])
        linker.define_func(MODULE, name, kind, guarded(body), access_caller=True)


def guarded(body: Body) -> Body:
    """A host function that ends the call when it cannot go on.

    Nothing but `WasmtimeError` may leave it; see `o_sandbox.engine.call`.
    """

    def function(caller: wasmtime.Caller, *arguments: Any) -> Any:
        call = calls.current()
        try:
            return body(call, Guest(caller), *arguments)
        except wasmtime.WasmtimeError:
            raise
        except (BadPointerError, AbiError, wasmtime.Trap) as error:
            call.meter.end("trap", str(error))
        except Exception:
            log.exception("a host function failed")
            call.meter.end("trap", "the host could not do what the module asked for")
        raise wasmtime.WasmtimeError("the call has to end")

    return function


def memory_of(found: Any) -> wasmtime.Memory:
    """The export `memory`.

    Raises:
        AbiError: there is none, or it is no memory.
    """
    if not isinstance(found, wasmtime.Memory):
        raise AbiError("the module exports no memory named `memory`")
    return found


def function_of(
    found: Any, name: str, parameters: tuple[str, ...], results: tuple[str, ...]
) -> Callable[..., Any]:
    """An exported function of this type; `found` may be a pair of store and export.

    Raises:
        AbiError: there is none, or it has another type.
    """
    wanted = f"`{name}({', '.join(parameters)}) -> {', '.join(results) or 'nothing'}`"
    if not isinstance(found, wasmtime.Func):
        raise AbiError(f"the module exports no function {wanted}")
    return _Checked(found, wanted, parameters, results)


class _Checked:
    """A function whose type is compared when it is called, since only then there is a store."""

    def __init__(
        self,
        function: wasmtime.Func,
        wanted: str,
        parameters: tuple[str, ...],
        results: tuple[str, ...],
    ) -> None:
        self._function, self._wanted = function, wanted
        self._type = parameters, results

    def __call__(self, store: Any, *arguments: int) -> Any:
        kind = self._function.type(store)
        if (tuple(map(str, kind.params)), tuple(map(str, kind.results))) != self._type:
            raise AbiError(f"the module's function is not {self._wanted}, but {_written(kind)}")
        return self._function(store, *map(signed_32, arguments))


def signed(value: int) -> int:
    """Sixty-four bits as Wasmtime takes them."""
    return value - (1 << 64) if value >= 1 << 63 else value


def signed_32(value: int) -> int:
    """Thirty-two bits as Wasmtime takes them."""
    return value - (1 << 32) if value >= 1 << 31 else value


def _written(kind: wasmtime.FuncType) -> str:
    parameters, results = (", ".join(map(str, each)) for each in (kind.params, kind.results))
    return f"`({parameters}) -> {results or 'nothing'}`"


def _call(call: Call, guest: Guest, name: int, size: int, arguments: int, length: int) -> int:
    memory = guest.memory
    answer = call.ask(memory.text(name, size), memory.text(arguments, length) or "{}")
    if answer.ok:
        return guest.give(b'{"ok":%b}' % answer.content.encode())
    return guest.give(msgspec.json.encode({"error": answer.content}))


def _print(call: Call, guest: Guest, channel: int, text: int, size: int) -> None:
    call.emit("stderr" if channel == 2 else "stdout", guest.memory.text(text, size))


def _fail(call: Call, guest: Guest, text: int, size: int) -> None:
    said = guest.memory.text(text, size)[:_MESSAGE_CHARS]
    call.meter.end("error", said or "the module failed")
    raise wasmtime.WasmtimeError("the module failed")


def _random(call: Call, guest: Guest, address: int, size: int) -> None:
    wanted = unsigned(size)
    if wanted > _MOST_RANDOM:
        raise AbiError(f"the module asked for {wanted} random bytes; {_MOST_RANDOM} are the most")
    guest.memory.write(address, call.chance.take(wanted))


def _now(call: Call, _guest: Guest) -> int:
    seconds, nanoseconds = call.clock.unix()
    return seconds * 1_000_000_000 + nanoseconds


_TYPES: Final = {"i32": wasmtime.ValType.i32(), "i64": wasmtime.ValType.i64()}
_FUNCTIONS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], Body]]] = {
    "call": (("i32", "i32", "i32", "i32"), ("i64",), _call),
    "print": (("i32", "i32", "i32"), (), _print),
    "fail": (("i32", "i32"), (), _fail),
    "random": (("i32", "i32"), (), _random),
    "now": ((), ("i64",), _now),
}
