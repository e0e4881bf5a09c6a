"""Looks at what a component's function gives before it is made into objects of Python.

A component may name one place of its memory many times over in a list of lists: Wasmtime bounds
what it copies, but by far more than a call may put out, and an object is made of every byte. So the
pieces are counted first.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

from wasmtime import _ffi as kinds
from wasmtime import component as wasm

_LIST: Final = kinds.WASMTIME_COMPONENT_LIST.value
_STRING: Final = kinds.WASMTIME_COMPONENT_STRING.value
_SCALARS: Final = frozenset(range(kinds.WASMTIME_COMPONENT_CHAR.value + 1))
"""Kinds that hold no others."""


class OversizedError(Exception):
    """A value has more pieces than a call may put out."""


class BoundedFunction(wasm.Func):
    """A component's function, whose result is refused when it is too large."""

    _limit: int

    @classmethod
    def of(cls, function: wasm.Func, limit: int) -> BoundedFunction:
        """`function`; its result has at most `limit` numbers and bytes of text."""
        made = cls._from_raw(function._func)
        made._limit = limit
        return made

    @classmethod
    def _from_raw(cls, func: Any) -> BoundedFunction:
        made: BoundedFunction = cls.__new__(cls)
        made._func = func
        return made

    def type(self, store: Any) -> Any:
        """Its type, with the result's put behind a check."""
        return _Signature(super().type(store), self._limit)


class _Signature:
    def __init__(self, kind: wasm.FuncType, limit: int) -> None:
        self.params = kind.params
        result = kind.result
        self.result = None if result is None else _Checked(result, limit)


class _Checked:
    """The type of a result."""

    def __init__(self, kind: wasm.ValType, limit: int) -> None:
        self.kind, self._limit = kind, limit

    def convert_from_c(self, value: Any) -> Any:
        """The value as Python has it.

        Raises:
            OversizedError: it is too large; it was dropped.
        """
        if _is_over(value, self._limit):
            kinds.wasmtime_component_val_delete(ctypes.byref(value))
            raise OversizedError
        return self.kind.convert_from_c(value)


def _is_over(value: Any, limit: int) -> bool:
    """Whether a value has more than `limit` pieces; looks at no more than those."""
    pieces, waiting = 0, [iter((value,))]
    while waiting:
        each = next(waiting[-1], None)
        if each is None:
            waiting.pop()
            continue
        pieces += _own_pieces(each)
        if pieces > limit:
            return True
        waiting.append(_inner(each))
    return False


def _own_pieces(value: Any) -> int:
    if value.kind == _STRING:
        return int(value.of.string.size) + 1
    if value.kind == _LIST:
        return int(value.of.list.size) + 1
    return 1


def _inner(value: Any) -> Iterator[Any]:
    of = value.of
    match value.kind:
        case kinds.WASMTIME_COMPONENT_LIST.value:
            size = of.list.size
            if size and of.list.data[0].kind not in _SCALARS:
                yield from (of.list.data[at] for at in range(size))
        case kinds.WASMTIME_COMPONENT_TUPLE.value:
            yield from (of.tuple.data[at] for at in range(of.tuple.size))
        case kinds.WASMTIME_COMPONENT_RECORD.value:
            yield from (of.record.data[at].val for at in range(of.record.size))
        case kinds.WASMTIME_COMPONENT_OPTION.value if of.option:
            yield of.option.contents
        case kinds.WASMTIME_COMPONENT_VARIANT.value if of.variant.val:
            yield of.variant.val.contents
        case kinds.WASMTIME_COMPONENT_RESULT.value if of.result.val:
            yield of.result.val.contents
