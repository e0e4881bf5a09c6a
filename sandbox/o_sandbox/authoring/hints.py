"""Type hints as they stand in source: what JSON they allow, and how a guest makes objects of it."""

from __future__ import annotations

import ast
import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Union

from o_sandbox.authoring.definition import ToolDefinitionError

Build = Callable[[str], str]
"""From an expression for a JSON value to one for the object that the hint names."""


class Reading(NamedTuple):
    """A hint. `type` is what msgspec checks and describes; `build` is None where JSON is enough."""

    type: Any
    build: Build | None = None
    text: str = ""
    """What `Annotated` or a field says about it."""
    takes: str = ""
    """`dict` where objects are made of JSON objects; tells the members of a union apart."""


_PLAIN: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "str": str, "int": int, "float": float, "bool": bool, "None": None, "object": Any,
        "typing.Any": Any, "list": list, "dict": dict, "typing.List": list, "typing.Dict": dict,
        "collections.abc.Sequence": list, "collections.abc.Iterable": list,
        "collections.abc.Mapping": dict, "typing.Sequence": list, "typing.Iterable": list,
        "typing.Mapping": dict, "typing.Text": str,
    }
)  # fmt: skip
_MADE: Final[Mapping[str, tuple[Any, str]]] = MappingProxyType(
    {
        "datetime.datetime": (datetime.datetime, "{name}.fromisoformat({value})"),
        "datetime.date": (datetime.date, "{name}.fromisoformat({value})"),
        "datetime.time": (datetime.time, "{name}.fromisoformat({value})"),
        "decimal.Decimal": (decimal.Decimal, "{name}({value})"),
        "uuid.UUID": (uuid.UUID, "{name}({value})"),
        "set": (list, "set({value})"),
        "typing.Set": (list, "set({value})"),
        "frozenset": (list, "frozenset({value})"),
        "tuple": (list, "tuple({value})"),
        "typing.Tuple": (list, "tuple({value})"),
    }
)
_OPTIONAL: Final = frozenset({"typing.Optional"})
_UNION: Final = frozenset({"typing.Union"})
_LITERAL: Final = frozenset({"typing.Literal", "typing_extensions.Literal"})
_ANNOTATED: Final = frozenset({"typing.Annotated", "typing_extensions.Annotated"})
_WRAPPERS: Final = frozenset(
    {"typing.Required", "typing.NotRequired", "typing.Final", "typing.ClassVar"}
)


class Names:
    """What the names of a module stand for, as far as its own source says."""

    def __init__(self, module: ast.Module) -> None:
        """Collect imports, classes and aliases of the top level."""
        self.classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
        self.aliases: dict[str, ast.expr] = {}
        self._imported: dict[str, str] = {}
        for node in ast.walk(module):
            self._take(node)
        for node in module.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.aliases[node.targets[0].id] = node.value

    def full(self, node: ast.expr) -> str:
        """`typing.Optional` for what was imported as anything; a bare name for builtins."""
        if isinstance(node, ast.Constant) and node.value is None:
            return "None"
        if isinstance(node, ast.Name):
            return self._imported.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self.full(node.value)}.{node.attr}"
        return ""

    def _take(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                self._imported[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self._imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"


class TypeReader:
    """Reads hints of one module."""

    def __init__(self, names: Names, read_class: Callable[[ast.ClassDef], Reading]) -> None:
        """`read_class` reads a class of the same source."""
        self._names = names
        self._read_class = read_class

    def read(self, node: ast.expr) -> Reading:
        """What a hint allows.

        Raises:
            ToolDefinitionError: it has no JSON form, or is not known in this source.
        """
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self.read(_parsed(node))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union([node.left, node.right], node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        return self._named(node)

    def _named(self, node: ast.expr) -> Reading:
        name = self._names.full(node)
        if name in self._names.classes:
            return self._read_class(self._names.classes[name])
        if name in self._names.aliases:
            return self.read(self._names.aliases[name])
        if name in _PLAIN:
            return Reading(_PLAIN[name])
        if name in _MADE:
            kind, template = _MADE[name]
            spelled = ast.unparse(node)
            return Reading(kind, lambda value: template.format(name=spelled, value=value))
        raise ToolDefinitionError(
            f"{ast.unparse(node)!r} has no JSON form that can be told from this source; use plain "
            "types, or a dataclass, TypedDict, Enum or pydantic model defined in the same source",
            node.lineno,
        )

    def _subscript(self, node: ast.Subscript) -> Reading:
        name = self._names.full(node.value)
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name in _LITERAL:
            return Reading(Literal[tuple(_literal(each) for each in arguments)])
        if name in _OPTIONAL:
            return self._union([arguments[0], ast.Constant(None)], node)
        if name in _UNION:
            return self._union(arguments, node)
        if name in _ANNOTATED:
            return self.read(arguments[0])._replace(text=_said_of(arguments[1:]))
        if name in _WRAPPERS:
            return self.read(arguments[0])
        return self._container(name, arguments, node)

    def _container(self, name: str, arguments: list[ast.expr], node: ast.Subscript) -> Reading:
        base = self._named(node.value)
        if base.type is dict:
            return _dict_of(self.read(arguments[0]), self.read(arguments[-1]))
        if base.type is not list:
            raise ToolDefinitionError(f"{name} takes no types in brackets", node.lineno)
        items = [each for each in arguments if not _is_dots(each)]
        if "uple" in name and len(items) == len(arguments):
            return self._tuple(items)
        return _list_of(self.read(items[0]), base.build)

    def _tuple(self, items: list[ast.expr]) -> Reading:
        readings = [self.read(each) for each in items]

        def build(value: str) -> str:
            parts = [_built(each, f"{value}[{at}]") for at, each in enumerate(readings)]
            return f"({', '.join(parts)},)"

        kinds = tuple(each.type for each in readings)
        return Reading(tuple.__class_getitem__(kinds), build)

    def _union(self, members: list[ast.expr], node: ast.AST) -> Reading:
        readings = [self.read(each) for each in members]
        kind: Any = Union[tuple(each.type for each in readings)]  # noqa: UP007 - made at run time
        made = [each for each in readings if each.build is not None]
        if not made:
            return Reading(kind)
        others = [each for each in readings if each.build is None and each.type is not None]
        if len(made) > 1 or (others and made[0].takes != "dict"):
            raise ToolDefinitionError(
                f"{ast.unparse(node)!r}: which of these an argument is cannot be told from JSON",
                getattr(node, "lineno", 0),
            )
        return Reading(kind, _where_made(made[0], has_others=bool(others)), takes=made[0].takes)


def _where_made(made: Reading, *, has_others: bool) -> Build:
    def build(value: str) -> str:
        test = f"isinstance({value}, dict)" if has_others else f"{value} is not None"
        return f"({_built(made, value)} if {test} else {value})"

    return build


def _list_of(item: Reading, wrap: Build | None) -> Reading:
    kind = list[item.type]  # type: ignore[name-defined]
    if item.build is None:
        return Reading(kind, wrap)
    inside = item.build

    def build(value: str) -> str:
        items = f"[{inside('o_item')} for o_item in {value}]"
        return wrap(items) if wrap is not None else items

    return Reading(kind, build)


def _dict_of(key: Reading, item: Reading) -> Reading:
    kind = dict[key.type, item.type]  # type: ignore[name-defined]
    if key.build is None and item.build is None:
        return Reading(kind)
    return Reading(
        kind,
        lambda value: (
            f"{{{_built(key, 'o_key')}: {_built(item, 'o_item')} "
            f"for o_key, o_item in {value}.items()}}"
        ),
        takes="dict",
    )


def _built(reading: Reading, value: str) -> str:
    return value if reading.build is None else reading.build(value)


def _parsed(node: ast.Constant) -> ast.expr:
    try:
        inner = ast.parse(str(node.value), mode="eval").body
    except SyntaxError:
        raise ToolDefinitionError(f"{node.value!r} is no type", node.lineno) from None
    for each in ast.walk(inner):
        if isinstance(each, ast.expr):
            each.lineno = node.lineno
    return inner


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ToolDefinitionError(
            f"Literal takes strings and numbers, not {ast.unparse(node)}", node.lineno
        ) from None


def _said_of(metadata: list[ast.expr]) -> str:
    """A string in `Annotated`, or the `description` of a `Field` or `Meta` there."""
    for node in metadata:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Call):
            return said_in(node)
    return ""


def said_in(call: ast.Call) -> str:
    """The `description` that a call is given."""
    for keyword in call.keywords:
        if keyword.arg == "description" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return ""


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis
