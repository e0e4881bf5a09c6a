"""A function that a component exports, of texts to a text, called through Wasmtime's C functions.

The Python bindings ask for the function's type before every call, and make types of their own for
every length of a text.
"""

from __future__ import annotations

import ctypes
from functools import partial
from typing import Final

import wasmtime
from wasmtime import _bindings as c
from wasmtime import _ffi as kinds
from wasmtime import component as wasm
from wasmtime.component._enter import enter_wasm

_STRING: Final = kinds.WASMTIME_COMPONENT_STRING.value


class TextFunction:
    """An export of one instance."""

    def __init__(self, store: wasmtime.Store, function: wasm.Func, takes: int) -> None:
        """`function`: of an instance in `store`; it takes so many strings and gives back one."""
        self._store, self._function = store, function._func
        self._arguments = (c.wasmtime_component_val_t * takes)()
        for argument in self._arguments:
            argument.kind = _STRING
        self._texts = [argument.of.string for argument in self._arguments]

    def __call__(self, *texts: str) -> str:
        """What it answers.

        Raises:
            WasmtimeError: the guest was stopped, or stopped itself.
            UnicodeEncodeError: a text has no form in UTF-8.
        """
        contents = [text.encode() for text in texts]
        answer = c.wasmtime_component_val_t()
        context, takes = self._store._context(), len(self._arguments)
        for argument, content in zip(self._texts, contents, strict=True):
            c.wasm_byte_vec_new_uninitialized(argument, len(content))
            ctypes.memmove(argument.data, content, len(content))
        try:
            call = c.wasmtime_component_func_call
            enter_wasm(partial(call, self._function, context, self._arguments, takes, answer, 1))
            text = answer.of.string
            return ctypes.string_at(text.data, text.size).decode() if text.size else ""
        finally:
            for argument in self._texts:
                c.wasm_byte_vec_delete(argument)
            c.wasmtime_component_val_delete(answer)
