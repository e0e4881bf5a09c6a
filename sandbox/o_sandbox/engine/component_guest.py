"""Calls of components: JSON arguments by name to the types of their WIT, and the result back.

| WIT | JSON |
|---|---|
| numbers, `bool`, `char`, `string` | numbers, booleans, text |
| `list`, `tuple`; `list<u8>` | arrays; arrays of numbers |
| `record` | an object; names with `-` may have `_` instead |
| `option` | the value, or null |
| `enum`, `flags` | text, an array of texts |
| `variant` | `{"tag": …, "value": …}` |
| `result` | its `ok`; an `err` ends the call with the reason `error` |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import wasmtime
from wasmtime import component as wasm

from o_sandbox.engine import imports
from o_sandbox.engine.abi import AbiError
from o_sandbox.engine.call import Call
from o_sandbox.engine.component_value import BoundedFunction, OversizedError
from o_sandbox.engine.ending import Ended


def run(
    engine: wasmtime.Engine, component: wasm.Component, store: wasmtime.Store, call: Call
) -> Ended:
    """Call the component's function that the call names.

    Raises:
        AbiError: it has no such function, or the arguments do not fit its types.
        WasmtimeError: it was stopped, or stopped itself.
    """
    store.set_wasi(wasmtime.WasiConfig())
    instance = imports.linker(engine, component).instantiate(store, component)
    function = _found(engine, component, instance, store, call.run.function)
    kind = function.type(store)
    given = msgspec.json.decode(call.run.arguments, type=dict[str, Any])
    arguments = _arguments(kind.params, given)
    bounded = BoundedFunction.of(function, call.run.limits.output_bytes)
    try:
        value = bounded(store, *arguments)
    except OversizedError:
        return _too_much(call)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise AbiError(f"the arguments do not fit the function: {error}") from None
    return _answer(call, kind.result, value)


def _found(
    engine: wasmtime.Engine,
    component: wasm.Component,
    instance: wasm.Instance,
    store: wasmtime.Store,
    name: str,
) -> wasm.Func:
    names = dict.fromkeys((name, name.replace("_", "-"), "run"))
    for each in names:
        found = instance.get_func(store, each)
        if found is not None:
            return found
    for interface in component.type.exports(engine):
        outer = instance.get_export_index(store, interface)
        for each in names if outer is not None else ():
            index = instance.get_export_index(store, each, outer)
            found = instance.get_func(store, index) if index is not None else None
            if found is not None:
                return found
    raise AbiError(f"the component exports no function {name!r}")


def _arguments(parameters: list[tuple[str, Any]], given: Mapping[str, Any]) -> list[Any]:
    by_name = {name.replace("_", "-"): value for name, value in given.items()}
    wanted = {name for name, _ in parameters}
    if strange := sorted(set(by_name) - wanted):
        raise AbiError(f"there is no argument {strange[0]!r}; there are {sorted(wanted)}")
    return [_lowered(kind, by_name.get(name), name) for name, kind in parameters]


def _lowered(kind: Any, value: Any, name: str) -> Any:
    """A JSON value as the bindings want it for this type."""
    match kind:
        case wasm.OptionType():
            return None if value is None else _lowered(kind.payload, value, name)
        case wasm.F32() | wasm.F64() if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        case wasm.ListType() if isinstance(value, list):
            items = [_lowered(kind.element, item, name) for item in value]
            return bytes(items) if isinstance(kind.element, wasm.U8) else items
        case wasm.TupleType() if isinstance(value, list):
            pairs = zip(kind.elements, value, strict=True)
            return tuple(_lowered(element, item, name) for element, item in pairs)
        case wasm.FlagsType() if isinstance(value, list):
            return set(value)
        case wasm.RecordType() if isinstance(value, dict):
            return _record(kind, value, name)
        case wasm.VariantType() if isinstance(value, dict):
            payload = dict(kind.cases).get(str(value.get("tag")))
            lowered = None if payload is None else _lowered(payload, value.get("value"), name)
            return wasm.Variant(str(value.get("tag")), lowered)
    if value is None:
        raise AbiError(f"the argument {name!r} is missing")
    return value


def _record(kind: wasm.RecordType, value: Mapping[str, Any], name: str) -> wasm.Record:
    by_name = {key.replace("_", "-"): item for key, item in value.items()}
    made = wasm.Record()
    for field, element in kind.fields:
        made.__dict__[field] = _lowered(element, by_name.get(field), f"{name}.{field}")
    return made


def _answer(call: Call, kind: Any, value: Any) -> Ended:
    if call.meter.stop is not None:
        return Ended(call.meter.stop.reason, error=call.meter.stop.sentence)
    is_error, value = _told(kind, value) if isinstance(kind, wasm.ResultType) else (False, value)
    plain = _raised(value)
    if is_error:
        return Ended("error", error=plain if isinstance(plain, str) else _text(plain))
    if not call.meter.add_output(len(_text(plain).encode())):
        return _too_much(call)
    return Ended("ok", value=plain)


def _too_much(call: Call) -> Ended:
    return Ended("output", error=f"more than {call.meter.limits.output_bytes} bytes of output")


def _told(kind: wasm.ResultType, value: Any) -> tuple[bool, Any]:
    """Whether a `result` is an `err`, and what is in it. Cases of one Python type have a tag."""
    if isinstance(value, wasm.Variant):
        return value.tag == "err", value.payload
    kinds: set[type] = set()
    if kind.err is not None:
        kind.err.add_classes(kinds)
    elif value is None and kind.ok is not None:
        return True, None
    return isinstance(value, tuple(kinds)), value


def _raised(value: Any) -> Any:
    """What the bindings give, ready for JSON."""
    match value:
        case wasm.Record():
            return {name.replace("-", "_"): _raised(item) for name, item in vars(value).items()}
        case wasm.Variant():
            return {"tag": value.tag, "value": _raised(value.payload)}
        case bytes():
            return list(value)
        case list() | tuple():
            return [_raised(item) for item in value]
        case set():
            return sorted(value)
        case _:
            return value


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
