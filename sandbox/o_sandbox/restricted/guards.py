"""The functions that rewritten guest code calls instead of reaching for objects itself."""

from __future__ import annotations

import builtins
import datetime
import operator
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final, NoReturn

from RestrictedPython.Guards import (
    full_write_guard,
    guarded_iter_unpack_sequence,
    guarded_unpack_sequence,
    safe_builtins,
    safer_getattr_raise,
)

_MISSING: Final = object()
_CLOCKS: Final = frozenset({"now", "today", "utcnow"})
_WITHHELD: Final = frozenset(
    {"BaseException", "GeneratorExit", "KeyboardInterrupt", "SystemExit", "id", "_getattr_"}
)
"""Of its safe builtins. With those exceptions a guest could catch what ends its call."""
_ADDED: Final = (
    "all any bytes dict enumerate filter frozenset iter list map max min next reversed set sorted "
    "sum tuple zip"
)
_IN_PLACE: Final[Mapping[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        "+=": operator.iadd, "-=": operator.isub, "*=": operator.imul, "/=": operator.itruediv,
        "//=": operator.ifloordiv, "%=": operator.imod, "**=": operator.ipow,
        "<<=": operator.ilshift, ">>=": operator.irshift, "|=": operator.ior, "^=": operator.ixor,
        "&=": operator.iand, "@=": operator.imatmul,
    }
)  # fmt: skip


def get_attribute(subject: Any, name: str, default: Any = _MISSING) -> Any:
    """`subject.name`, for names that lead nowhere else.

    Raises:
        AttributeError: a name with a leading underscore, one that leads to frames or code, the
            subject of another error, a clock, anything of a real module, or no such attribute.
    """
    if type(name) is not str:
        raise TypeError("the name of an attribute must be a string")
    if isinstance(subject, ModuleType):
        raise AttributeError("modules are not reachable in the tier `restricted`")
    if name == "obj" and isinstance(subject, BaseException):
        raise AttributeError("the subject of an error is not reachable")
    if name in _CLOCKS and _is_date(subject):
        raise AttributeError(f"there is no clock in the tier `restricted`: {name}")
    try:
        return safer_getattr_raise(subject, name)  # type: ignore[no-untyped-call]
    except AttributeError:
        if default is _MISSING or name.startswith("_"):
            raise
        return default


def has_attribute(subject: Any, name: str) -> bool:
    """Whether `get_attribute` would give something."""
    try:
        get_attribute(subject, name)
    except (AttributeError, NotImplementedError):
        return False
    return True


def set_attribute(subject: Any, name: str, value: Any) -> None:
    """`setattr`, for plain names of the guest's own objects.

    Raises:
        AttributeError: a name with a leading underscore.
        TypeError: an object that is not the guest's, or a name that is no string.
    """
    _check_plain(name)
    setattr(full_write_guard(subject), name, value)


def delete_attribute(subject: Any, name: str) -> None:
    """`delattr`, for plain names of the guest's own objects.

    Raises:
        AttributeError: a name with a leading underscore.
        TypeError: an object that is not the guest's, or a name that is no string.
    """
    _check_plain(name)
    delattr(full_write_guard(subject), name)


def guest_class(name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
    """Make a class of the guest's; its instances' attributes may be assigned."""
    return type(name, bases, {**namespace, "_guarded_writes": True})


def apply_call(function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """`function(*given, **named)`."""
    return function(*given, **named)


_BUILTINS: Final[dict[str, Any]] = {
    **{name: value for name, value in safe_builtins.items() if name not in _WITHHELD},
    **{name: getattr(builtins, name) for name in _ADDED.split()},
    "delattr": delete_attribute,
    "getattr": get_attribute,
    "hasattr": has_attribute,
    "setattr": set_attribute,
}


def guest_builtins(load: Callable[..., Any]) -> dict[str, Any]:
    """The builtins of one call; `load` answers `import`."""
    return _BUILTINS | {"__import__": load}


GUARDS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "_Exception": Exception,
        "_apply_": apply_call,
        "_getattr_": get_attribute,
        "_getitem_": operator.getitem,
        "_getiter_": lambda subject: subject,
        "_inplacevar_": lambda sign, left, right: _IN_PLACE[sign](left, right),
        "_iter_unpack_sequence_": guarded_iter_unpack_sequence,
        "_unpack_sequence_": guarded_unpack_sequence,
        "_write_": full_write_guard,
        "__metaclass__": guest_class,
        "__name__": "tool",
    }
)
"""The names that rewritten code calls; a guest cannot say any of them."""


def refuse_import(name: str, offered: Iterable[str]) -> NoReturn:
    """Tell a guest what it can import.

    Raises:
        ImportError: always.
    """
    raise ImportError(
        f"{name} cannot be imported in the tier `restricted`, which offers "
        f"{', '.join(sorted(offered))}; the tier `wasm` has the whole standard library"
    )


def _is_date(subject: Any) -> bool:
    kind = subject if isinstance(subject, type) else type(subject)
    return issubclass(kind, datetime.date)


def _check_plain(name: str) -> None:
    if type(name) is not str:
        raise TypeError("the name of an attribute must be a string")
    if name.startswith("_"):
        raise AttributeError(f"{name!r} starts with an underscore, which is reserved")
