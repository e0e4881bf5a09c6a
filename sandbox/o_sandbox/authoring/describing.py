"""From source to definitions: the functions of a module that can be tools."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from o_sandbox.authoring.classes import ClassReader, field_of, struct_of
from o_sandbox.authoring.definition import (
    AGENT_GRANTS,
    AGENT_STATE,
    Definition,
    ToolDefinitionError,
    adapter_name,
)
from o_sandbox.authoring.docstrings import split_docstring
from o_sandbox.authoring.hints import Names, Reading
from o_sandbox.tool import Tier

_MARKS: Final = frozenset({"o_agent.sdk.tool", "o_sandbox.tool", "tool"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


def describe(source: str) -> list[Definition]:
    """The functions under `@tool`, or every public one where none is; in order.

    Raises:
        ToolDefinitionError: the source is no Python, or one of them cannot be a tool.
    """
    module = _parse(source)
    names = Names(module)
    functions = [node for node in module.body if isinstance(node, Function)]
    marked = [node for node in functions if _mark(node, names) is not None]
    public = [node for node in functions if not node.name.startswith("_")]
    return [_definition(node, names) for node in marked or public]


def describe_function(
    source: str,
    name: str = "",
    *,
    needs_text: bool = True,
    given: Mapping[str, Any] | None = None,
) -> Definition:
    """One function: the named one, else the one under `@tool`, else the last public one.

    Args:
        source: Python source.
        name: the function's name; empty to choose.
        needs_text: refuse a function without a docstring.
        given: a JSON schema of its arguments, which takes the place of what the hints say; hints
            that cannot be read, or are not there, then only leave arguments unchecked.

    Raises:
        ToolDefinitionError: the source is no Python, has no such function, or it cannot be a tool.
    """
    module = _parse(source)
    names = Names(module)
    nodes = ast.walk(module) if name else module.body
    found = [node for node in nodes if isinstance(node, Function)]
    node = _chosen(found, name, names)
    try:
        definition = _definition(node, names, needs_text=needs_text)
    except ToolDefinitionError:
        if given is None or (needs_text and not _says(node)):
            raise
        return _as_given(node, names, given)
    return definition if given is None else replace(definition, parameters=_shown(given))


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise ToolDefinitionError(f"is no Python: {error.msg}", error.lineno or 0) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ToolDefinitionError(f"the source cannot be read: {error}") from None


def _chosen(functions: list[Function], name: str, names: Names) -> Function:
    if name:
        found = [node for node in functions if node.name == name]
    else:
        found = [node for node in functions if _mark(node, names) is not None]
        found = found or [node for node in functions if not node.name.startswith("_")]
    if not found:
        wanted = f"named {name!r}" if name else "whose name has no leading underscore"
        raise ToolDefinitionError(f"the source defines no function {wanted}")
    return found[-1]


def _definition(node: Function, names: Names, *, needs_text: bool = True) -> Definition:
    says, texts = split_docstring(ast.get_docstring(node) or "")
    if not says and needs_text:
        raise ToolDefinitionError(
            f"tool {node.name!r} has no docstring; say what it does, the model reads it",
            node.lineno,
        )
    classes = ClassReader(names)
    readings = _readings(node, classes)
    arguments = struct_of(node.name, _fields(node, classes, readings, texts))
    mark = _mark(node, names)
    tier, grants = _options(mark) if mark is not None else (None, ())
    return Definition(
        name=node.name,
        description=says,
        parameters=_schema(arguments),
        arguments_type=arguments,
        line=node.lineno,
        is_marked=mark is not None,
        tier=tier,
        grants=grants,
        needs=_needs(node),
        adapter=_adapter(node, classes, readings),
    )


def _says(node: Function) -> str:
    return split_docstring(ast.get_docstring(node) or "")[0]


def _as_given(node: Function, names: Names, given: Mapping[str, Any]) -> Definition:
    """A function that can be called with what a schema allows, whatever its hints."""
    known = given.get("properties")
    allowed = frozenset(known) if isinstance(known, dict) else frozenset()
    for parameter in node.args.posonlyargs:
        raise ToolDefinitionError(
            f"parameter {parameter.arg!r} of {node.name} must be passable by name",
            parameter.lineno,
        )
    with_default = _defaults(node)
    for parameter in _parameters(node):
        if parameter.arg not in allowed and parameter.arg not in with_default:
            raise ToolDefinitionError(
                f"parameter {parameter.arg!r} of {node.name} is not in the schema that came with "
                "the source, and nothing else fills it in; add it, or give it a default",
                parameter.lineno,
            )
    mark = _mark(node, names)
    tier, grants = _options(mark) if mark is not None else (None, ())
    return Definition(
        name=node.name,
        description=_says(node),
        parameters=_shown(given),
        arguments_type=dict[str, Any],
        line=node.lineno,
        is_marked=mark is not None,
        tier=tier,
        grants=grants,
        needs=_needs(node),
        adapter=_adapter(node, ClassReader(names), {}),
    )


def _readings(node: Function, classes: ClassReader) -> dict[str, Reading]:
    if node.args.posonlyargs or node.args.vararg or node.args.kwarg:
        raise ToolDefinitionError(
            f"every parameter of {node.name} must be passable by name: no `/`, `*args`, `**more`",
            node.lineno,
        )
    readings = {}
    for parameter in _parameters(node):
        if parameter.annotation is None:
            raise ToolDefinitionError(
                f"parameter {parameter.arg!r} of {node.name} needs a type hint", parameter.lineno
            )
        readings[parameter.arg] = classes.types.read(parameter.annotation)
    return readings


def _parameters(node: Function) -> list[ast.arg]:
    """Those that the model fills in."""
    return [each for each in (*node.args.args, *node.args.kwonlyargs) if each.arg != AGENT_STATE]


def _needs(node: Function) -> tuple[str, ...]:
    named = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
    return AGENT_GRANTS if AGENT_STATE in named else ()


def _shown(given: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that came with the source, without what the model does not fill in."""
    shown = dict(given)
    if isinstance(given.get("properties"), dict):
        shown["properties"] = {k: v for k, v in given["properties"].items() if k != AGENT_STATE}
    if isinstance(given.get("required"), list):
        shown["required"] = [name for name in given["required"] if name != AGENT_STATE]
    return shown


def _fields(
    node: Function, classes: ClassReader, readings: dict[str, Reading], texts: dict[str, str]
) -> list[tuple[Any, ...]]:
    defaults = _defaults(node)
    fields = []
    for name, reading in readings.items():
        default = classes.default(defaults.get(name))
        text = texts.get(name, "") or reading.text
        fields.append(field_of(name, reading.type, default, text))
    return fields


def _defaults(node: Function) -> dict[str, ast.expr]:
    positional = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    pairs = [*zip(positional, node.args.defaults, strict=True)]
    pairs += [
        (parameter, default)
        for parameter, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        if default is not None
    ]
    return {parameter.arg: default for parameter, default in pairs}


def _schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    (reference,), components = msgspec.json.schema_components(
        [arguments], ref_template="#/$defs/{name}"
    )
    own = dict(components.pop(reference["$ref"].rpartition("/")[2]))
    properties = {name: dict(each) for name, each in own.get("properties", {}).items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["required"] = list(own.get("required", []))
    return schema | ({"$defs": components} if components else {})


def _adapter(node: Function, classes: ClassReader, readings: dict[str, Reading]) -> str:
    made = {name: each.build for name, each in readings.items() if each.build is not None}
    needs = _needs(node)
    if not made and not needs:
        return ""
    lines = [*classes.makers.values(), f"def {adapter_name(node.name)}(**o_given):"]
    for name, build in made.items():
        lines.append(f"    if {name!r} in o_given:")
        lines.append(f"        o_given[{name!r}] = {build(f'o_given[{name!r}]')}")
    if needs:
        lines += ["    import o", f"    o_given[{AGENT_STATE!r}] = o.agent_state()"]
    lines.append(f"    return {node.name}(**o_given)")
    return "\n".join(lines) + "\n"


def _mark(node: Function, names: Names) -> ast.expr | None:
    for decorator in node.decorator_list:
        subject = decorator.func if isinstance(decorator, ast.Call) else decorator
        if names.full(subject) in _MARKS:
            return decorator
    return None


def _options(mark: ast.expr) -> tuple[Tier | None, tuple[str, ...]]:
    """What stands in `@tool(tier=…, grants=[…])`, as literals."""
    if not isinstance(mark, ast.Call):
        return None, ()
    found: dict[str, Any] = {}
    for keyword in mark.keywords:
        try:
            found[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError:
            raise ToolDefinitionError(
                f"`{keyword.arg}` of @tool must be a literal", mark.lineno
            ) from None
    try:
        tier = msgspec.convert(found.get("tier"), Tier | None)
        return tier, tuple(msgspec.convert(found.get("grants", ()), list[str]))
    except msgspec.ValidationError as error:
        raise ToolDefinitionError(f"@tool: {error}", mark.lineno) from None
