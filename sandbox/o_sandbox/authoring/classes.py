"""Classes of the same source as arguments: enums, dataclasses, typed dicts, pydantic models."""

from __future__ import annotations

import ast
from typing import Annotated, Any, Final, Literal, Union

import msgspec

from o_sandbox.authoring.definition import ToolDefinitionError
from o_sandbox.authoring.docstrings import split_docstring
from o_sandbox.authoring.hints import Names, Reading, TypeReader, said_in

_ENUMS: Final = frozenset({"enum.Enum", "enum.StrEnum", "enum.IntEnum", "str", "int"})
_MODELS: Final = "pydantic.BaseModel"
_DICTS: Final = frozenset({"typing.TypedDict", "typing_extensions.TypedDict"})
_RECORDS: Final = frozenset({"typing.NamedTuple", "msgspec.Struct"})
MISSING: Final = object()


class ClassReader:
    """Reads each class once and keeps the functions that make its objects."""

    def __init__(self, names: Names) -> None:
        """Nothing is read yet."""
        self._names = names
        self.types = TypeReader(names, self.read)
        self._read: dict[str, Reading] = {}
        self._reading: list[str] = []
        self.makers: dict[str, str] = {}

    def read(self, node: ast.ClassDef) -> Reading:
        """What JSON makes an object of this class.

        Raises:
            ToolDefinitionError: none, or the class contains itself.
        """
        if node.name in self._reading:
            raise ToolDefinitionError(f"class {node.name} contains itself", node.lineno)
        if node.name not in self._read:
            self._reading.append(node.name)
            self._read[node.name] = self._class(node)
            self._reading.pop()
        return self._read[node.name]

    def default(self, node: ast.expr | None) -> Any:
        """The JSON form of a default; `MISSING` for none, `UNSET` for one that is not JSON."""
        if node is None:
            return MISSING
        try:
            return _plain(ast.literal_eval(node))
        except (ValueError, TypeError):
            return self._member(node)

    def _class(self, node: ast.ClassDef) -> Reading:
        bases = {self._names.full(base) for base in node.bases}
        if bases & _ENUMS and _members(node):
            values = tuple(_members(node).values())
            return Reading(Literal[values], lambda value: f"{node.name}({value})")
        if _MODELS in bases:
            struct = self._struct(node)
            model = node.name
            return Reading(struct, lambda value: f"{model}.model_validate({value})", takes="dict")
        if bases & _DICTS or bases & _RECORDS or self._is_dataclass(node):
            return self._record(node, plain=bool(bases & _DICTS))
        raise ToolDefinitionError(
            f"class {node.name} cannot be made of JSON; make it a dataclass, TypedDict, Enum or "
            "pydantic model",
            node.lineno,
        )

    def _is_dataclass(self, node: ast.ClassDef) -> bool:
        for decorator in node.decorator_list:
            subject = decorator.func if isinstance(decorator, ast.Call) else decorator
            if self._names.full(subject) in {"dataclasses.dataclass", "attrs.define", "attr.s"}:
                return True
        return False

    def _record(self, node: ast.ClassDef, *, plain: bool) -> Reading:
        struct = self._struct(node)
        made = {name: reading for name, reading in self._fields(node) if reading.build is not None}
        if plain and not made:
            return Reading(struct, takes="dict")
        maker = f"o_make_{node.name}"
        lines = [f"def {maker}(o_given):", "    o_made = dict(o_given)"]
        for name, reading in made.items():
            assert reading.build is not None  # noqa: S101 - as filtered above
            lines += [f"    if {name!r} in o_made:"]
            lines += [f"        o_made[{name!r}] = {reading.build(f'o_made[{name!r}]')}"]
        lines.append("    return o_made" if plain else f"    return {node.name}(**o_made)")
        self.makers[node.name] = "\n".join(lines)
        return Reading(struct, lambda value: f"{maker}({value})", takes="dict")

    def _fields(self, node: ast.ClassDef) -> list[tuple[str, Reading]]:
        return [
            (each.target.id, self.types.read(each.annotation))
            for each in _annotated(node)
            if isinstance(each.target, ast.Name)
        ]

    def _struct(self, node: ast.ClassDef) -> type[msgspec.Struct]:
        says, texts = split_docstring(ast.get_docstring(node) or "")
        partial = any(
            keyword.arg == "total" and _is_false(keyword.value) for keyword in node.keywords
        )
        fields = []
        for each in _annotated(node):
            assert isinstance(each.target, ast.Name)  # noqa: S101 - as `_annotated` chose
            name = each.target.id
            reading = self.types.read(each.annotation)
            default, text = self._default_of(each)
            if default is MISSING and (partial or _is_not_required(each, self._names)):
                default = msgspec.UNSET
            text = text or reading.text or texts.get(name, "")
            fields.append(field_of(name, reading.type, default, text))
        return struct_of(node.name, fields, says)

    def _default_of(self, node: ast.AnnAssign) -> tuple[Any, str]:
        """The default of a field, and what is said about it."""
        value = node.value
        if not isinstance(value, ast.Call):
            return self.default(value), ""
        said = said_in(value)
        for keyword in value.keywords:
            if keyword.arg == "default":
                return self.default(keyword.value), said
            if keyword.arg in {"default_factory", "factory"}:
                return msgspec.UNSET, said
        first = value.args[0] if value.args else None
        return (MISSING if first is None or _is_dots(first) else self.default(first)), said

    def _member(self, node: ast.expr) -> Any:
        """`Color.RED` as its value."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = self._names.classes.get(node.value.id)
            if owner is not None:
                return _members(owner).get(node.attr, msgspec.UNSET)
        return msgspec.UNSET


def field_of(name: str, kind: Any, default: Any, text: str) -> tuple[Any, ...]:
    """A field as `msgspec.defstruct` takes it; without a JSON default it may be left out."""
    if default is msgspec.UNSET:
        kind = Union[kind, msgspec.UnsetType]  # noqa: UP007 - made at run time
    if text:
        kind = Annotated[kind, msgspec.Meta(description=text)]
    if default is MISSING:
        return (name, kind)
    if isinstance(default, list | dict):
        return (name, kind, msgspec.field(default_factory=lambda: default.copy()))
    return (name, kind, default)


def struct_of(name: str, fields: list[tuple[Any, ...]], says: str = "") -> type[msgspec.Struct]:
    """The type that checks and describes these fields; the required ones come first."""
    namespace = {"__doc__": says} if says else {}
    ordered = sorted(fields, key=len)
    return msgspec.defstruct(name, ordered, forbid_unknown_fields=True, namespace=namespace)


def _annotated(node: ast.ClassDef) -> list[ast.AnnAssign]:
    return [
        each
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and not each.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(each.annotation)
    ]


def _members(node: ast.ClassDef) -> dict[str, Any]:
    """Names and values of an enum, as far as they are literals."""
    found: dict[str, Any] = {}
    for each in node.body:
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            try:
                found[each.targets[0].id] = ast.literal_eval(each.value)
            except ValueError:
                if isinstance(each.value, ast.Call):  # `auto()`: a StrEnum's is the name
                    found[each.targets[0].id] = each.targets[0].id.lower()
    return found


def _is_not_required(node: ast.AnnAssign, names: Names) -> bool:
    annotation = node.annotation
    return isinstance(annotation, ast.Subscript) and names.full(annotation.value).endswith(
        ".NotRequired"
    )


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if isinstance(value, bytes | complex) or value is Ellipsis:
        raise ValueError("no JSON")
    return value
