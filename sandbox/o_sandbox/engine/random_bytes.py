"""The import `get-random-bytes`, written against Wasmtime's C functions.

An interpreter takes 2 496 bytes before its first call. The Python bindings convert a list one
element after the other, which took 5 ms of every call; here a list is copied as a whole.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from wasmtime import _bindings as c
from wasmtime import _ffi as kinds
from wasmtime import component as wasm

from o_sandbox.engine import call as calls

NAME: Final = "get-random-bytes"
_MOST: Final = 1 << 20
_VALUE_BYTES: Final = ctypes.sizeof(c.wasmtime_component_val_t)
_Finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def define(instance: wasm.LinkerInstance) -> None:
    """Add the function to the interface `wasi:random/random`.

    Raises:
        ValueError: Wasmtime refuses it.
    """
    name = ctypes.create_string_buffer(NAME.encode())
    error = c.wasmtime_component_linker_instance_add_func(
        instance.ptr(), name, len(NAME), _callback, None, ctypes.cast(0, _Finalizer)
    )
    if error:
        raise ValueError(f"Wasmtime does not take the function {NAME}")


def _answer(
    _data: Any, _context: Any, _type: Any, args: Any, _nargs: int, results: Any, _nresults: int
) -> int:
    call = calls.running()
    size = int(args[0].of.u64)
    if call is None or size > _MOST:
        error = c.wasmtime_error_new(ctypes.create_string_buffer(b"no random bytes here"))
        return ctypes.cast(error, ctypes.c_void_p).value or 0
    content = b"".join(map(_ENCODED.__getitem__, call.chance.take(size)))
    values = c.wasmtime_component_vallist_t()
    c.wasmtime_component_vallist_new_uninit(values, size)
    ctypes.memmove(values.data, content, len(content))
    results[0].kind = kinds.WASMTIME_COMPONENT_LIST
    results[0].of.list = values
    return 0


def _encoded(byte: int) -> bytes:
    value = c.wasmtime_component_val_t()
    value.kind = kinds.WASMTIME_COMPONENT_U8.value
    value.of.u8 = ctypes.c_uint8(byte)
    return ctypes.string_at(ctypes.addressof(value), _VALUE_BYTES)


_ENCODED: Final = [_encoded(byte) for byte in range(256)]
_callback: Final = c.wasmtime_component_func_callback_t(_answer)
