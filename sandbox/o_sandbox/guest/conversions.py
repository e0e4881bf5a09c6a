"""Values that fit hints, for `models`: what pydantic makes of a value in its lax mode."""

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import re
import types
import typing
import uuid

_TEXTS = {
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
    decimal.Decimal: lambda value: decimal.Decimal(str(value)),
    uuid.UUID: lambda value: uuid.UUID(str(value)),
}
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


class ValidationError(ValueError):
    """Values do not fit a model; `errors()` lists where and why."""

    def __init__(self, title, errors):
        self.title, self._errors = title, errors
        lines = [f"{len(errors)} validation error{'s'[: len(errors) > 1]} for {title}"]
        for each in errors:
            lines += [".".join(map(str, each["loc"])), f"  {each['msg']}"]
        super().__init__("\n".join(lines))

    def errors(self):
        return [dict(each) for each in self._errors]

    def error_count(self):
        return len(self._errors)


class Wrong(Exception):
    """What is wrong with a value, as `errors()` lists it."""

    def __init__(self, errors):
        super().__init__()
        self.errors = errors


def wrong(loc, message, kind="value_error", value=None):
    """One thing that is wrong, as `errors()` lists it."""
    return {"type": kind, "loc": loc, "msg": message, "input": value}


def refused(error):
    """A validator's refusal, as `errors()` lists it."""
    kind = "assertion_error" if isinstance(error, AssertionError) else "value_error"
    said = "Assertion failed" if isinstance(error, AssertionError) else "Value error"
    return wrong((), f"{said}, {error}", kind)


def bounded(value, bounds):
    """The value, if it holds to all bounds of its field."""
    for name, bound in bounds.items():
        if value is not None and not _HOLDS[name](value, bound):
            raise Wrong([wrong((), f"Input does not hold to {name}={bound!r}", name, value)])
    return value


_HOLDS = {
    "gt": lambda value, bound: value > bound, "ge": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound, "le": lambda value, bound: value <= bound,
    "multiple_of": lambda value, bound: value % bound == 0,
    "min_length": lambda value, bound: len(value) >= bound,
    "max_length": lambda value, bound: len(value) <= bound,
    "pattern": lambda value, bound: re.search(bound, value) is not None,
}  # fmt: skip


def _unfit(what, value):
    return Wrong([wrong((), f"Input should be {what}", "type_error", value)])


def converted(hint, value):
    """What a hint makes of a value.

    Raises:
        Wrong: they do not fit.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        value = converted(arguments[0], value)
        for each in arguments[1:]:
            value = bounded(value, each.bounds) if hasattr(each, "bounds") else value
        return value
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, value)
    if origin is typing.Literal:
        if not any(type(value) is type(each) and value == each for each in arguments):
            raise _unfit(" or ".join(map(repr, arguments)), value)
        return value
    if hint in (typing.Any, object) or isinstance(hint, typing.TypeVar):
        return value
    if hint is None or hint is type(None):
        if value is not None:
            raise _unfit("None", value)
        return None
    kind = origin or hint
    if not isinstance(kind, type):
        return value
    return _of_kind(kind, arguments, value)


def _one_of(hints, value):
    if value is None and type(None) in hints:
        return None
    members = [each for each in hints if each is not type(None)]
    exact = [each for each in members if type(value) is each]
    errors = []
    for each in exact or members:
        try:
            return converted(each, value)
        except Wrong as unfit:
            label = () if len(members) == 1 else (getattr(each, "__name__", str(each)),)
            errors += [{**one, "loc": (*label, *one["loc"])} for one in unfit.errors]
    raise Wrong(errors)


def _of_kind(kind, arguments, value):
    if hasattr(kind, "model_validate"):
        return _model(kind, value)
    if issubclass(kind, (dict, collections.abc.Mapping)) or typing.is_typeddict(kind):
        return _mapping(arguments, value)
    if kind in (list, set, frozenset, tuple) or kind in (
        collections.abc.Sequence, collections.abc.Iterable, collections.abc.Set
    ):  # fmt: skip
        return _items(kind if kind in (set, frozenset, tuple) else list, arguments, value)
    if isinstance(value, kind) and not (kind in (int, float) and isinstance(value, bool)):
        return value
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return kind(**value)
    try:
        return _plain(kind, value)
    except (ValueError, TypeError, ArithmeticError):
        raise _unfit(f"a valid {kind.__name__}", value) from None


def _plain(kind, value):
    if issubclass(kind, enum.Enum):
        return kind(value)
    if kind is bool and str(value).lower() in _TRUE | _FALSE:
        return str(value).lower() in _TRUE
    if kind is float and isinstance(value, (int, str)):
        return float(value)
    if kind is int and (isinstance(value, (bool, str)) or value == int(value)):
        return int(value)
    if kind in _TEXTS and isinstance(value, (str, int, float)):
        return _TEXTS[kind](value)
    raise ValueError


def _mapping(arguments, value):
    if not isinstance(value, (dict, collections.abc.Mapping)):
        raise _unfit("a valid dictionary", value)
    if not arguments:
        return dict(value)
    key, item = arguments
    return _each(lambda at: (converted(key, at), converted(item, value[at])), value, dict)


def _items(kind, arguments, value):
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, collections.abc.Iterable):
        raise _unfit(f"a valid {kind.__name__}", value)
    items = list(value)
    if not arguments:
        return kind(items)
    if kind is not tuple or arguments[-1] is ...:
        arguments = (arguments[0],) * len(items)
    if len(arguments) < len(items):
        raise _unfit(f"a tuple of {len(arguments)}", value)
    if lacking := range(len(items), len(arguments)):
        raise Wrong([wrong((at,), "Field required", "missing", value) for at in lacking])
    return _each(lambda at: converted(arguments[at], items[at]), range(len(items)), kind)


def _each(convert, places, kind):
    made, errors = [], []
    for at in places:
        try:
            made.append(convert(at))
        except Wrong as unfit:
            errors += [{**each, "loc": (at, *each["loc"])} for each in unfit.errors]
    if errors:
        raise Wrong(errors)
    return kind(made)


def _model(kind, value):
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        raise _unfit(f"a valid dictionary or instance of {kind.__name__}", value)
    try:
        return kind(**value)
    except ValidationError as error:
        raise Wrong(error.errors()) from None


def dumped(value, mode, options):
    """A value without models in it; JSON-ready in the mode `json`."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode=mode, **options)
    if isinstance(value, dict):
        return {key: dumped(each, mode, options) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        made = [dumped(each, mode, options) for each in value]
        return made if mode == "json" else type(value)(made)
    if mode != "json":
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return str(value) if isinstance(value, (decimal.Decimal, uuid.UUID)) else value
