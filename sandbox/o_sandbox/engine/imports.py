"""What a component may import: WASI without a world behind it, and two functions of its host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

import wasmtime
from wasmtime import component as wasm

from o_sandbox.engine import call as calls
from o_sandbox.engine import random_bytes

log: Final = logging.getLogger("o_sandbox.engine")


def linker(engine: wasmtime.Engine, component: wasm.Component) -> wasm.Linker:
    """Everything that `component` imports, with chance, clocks and waiting in the host's hands."""
    made = wasm.Linker(engine)
    made.add_wasip2()
    made.allow_shadowing = True
    imported = component.type.imports(engine)
    with made.root() as root:
        root.add_func("host-call", _guarded(_host_call))
        root.add_func("emit", _guarded(_emit))
        for name, functions in _SHADOWED.items():
            for full in _versions(name, imported):
                _shadow(root, full, functions)
    return made


def _versions(name: str, imported: Iterable[str]) -> list[str]:
    return [each for each in imported if each.split("@")[0] == name]


def _shadow(root: wasm.LinkerInstance, name: str, functions: dict[str, Callable[..., Any]]) -> None:
    with root.add_instance(name) as instance:
        for function, body in functions.items():
            instance.add_func(function, _guarded(body))
        if name.startswith(_RANDOM):
            random_bytes.define(instance)


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, out of which nothing comes but `WasmtimeError`.

    The bindings keep any other exception in one place for all threads, where the call of another
    guest would find it.
    """

    def guarded(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except wasmtime.WasmtimeError:
            raise
        except Exception as error:
            log.exception("a function that guests import failed")
            raise wasmtime.WasmtimeError("the engine failed") from error

    return guarded


def _host_call(_store: Any, name: str, payload: str) -> wasm.Variant:
    answer = calls.current().ask(name, payload)
    if answer.ok:
        return wasm.Variant("ok", answer.content)
    return wasm.Variant("err", answer.content)


def _emit(_store: Any, channel: str, text: str) -> None:
    calls.current().emit(channel, text)


def _monotonic(_store: Any) -> int:
    return calls.current().clock.monotonic_ns()


def _wall(_store: Any) -> wasm.Record:
    return _moment(*calls.current().clock.unix())


def _wall_resolution(_store: Any) -> wasm.Record:
    return _moment(0, 1000)


def _moment(seconds: int, nanoseconds: int) -> wasm.Record:
    made = wasm.Record()
    made.__dict__.update(seconds=seconds, nanoseconds=nanoseconds)
    return made


def _resolution(_store: Any) -> int:
    return 1000


def _no_waiting(_store: Any, _when: int) -> None:
    raise calls.current().refuse_wait()


def _random_number(_store: Any) -> int:
    return int.from_bytes(calls.current().chance.take(8), "little")


_RANDOM = "wasi:random/random"
_SHADOWED: dict[str, dict[str, Callable[..., Any]]] = {
    "wasi:clocks/monotonic-clock": {
        "now": _monotonic,
        "resolution": _resolution,
        "subscribe-instant": _no_waiting,
        "subscribe-duration": _no_waiting,
    },
    "wasi:clocks/wall-clock": {"now": _wall, "resolution": _wall_resolution},
    _RANDOM: {
        "get-random-u64": _random_number,
    },
}
