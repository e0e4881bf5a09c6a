"""What a genome's tools are written with: `@tool`, `@when`, `AgentView`.

```python
from o_agent.sdk import tool, when


@when(lambda agent: "human" in agent.block_labels)
@tool
def word_count(text: str, unique: bool = False) -> int:
    '''Count the words of a text.'''
    words = text.split()
    return len(set(words) if unique else words)
```

The model sees the function's name, its docstring (Google style: what `Args:` says of an argument
becomes its description) and a JSON schema made of the type hints; arguments are checked against the
same hints before the function is called.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Yields|Examples?|Notes?):\s*$")
_ARGUMENT = re.compile(r"^(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


class ToolDefinitionError(Exception):
    """A function cannot be offered as a tool; the message names it and says what to change."""


@dataclass(frozen=True, slots=True)
class AgentView:
    """What a condition may look at."""

    agent_id: str
    name: str
    agent_type: str
    model: str
    block_labels: frozenset[str]


Condition = Callable[[AgentView], bool]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call, with what it is told about it."""

    name: str
    description: str
    parameters: dict[str, Any]
    function: Callable[..., Any]
    arguments_type: type[msgspec.Struct]
    condition: Condition | None = None

    def is_offered(self, agent: AgentView) -> bool:
        """Whether this agent may call the tool."""
        return self.condition is None or bool(self.condition(agent))


def tool(function: Callable[..., Any]) -> Tool:
    """Offer a function, plain or async, to the model.

    Raises:
        ToolDefinitionError: no docstring, a parameter without a type hint or with one that has no
            JSON form, or a parameter that cannot be passed by name.
    """
    name = function.__name__
    description, arguments = split_docstring(inspect.getdoc(function) or "")
    if not description:
        raise ToolDefinitionError(f"tool {name!r} has no docstring; say what it does")
    try:
        arguments_type = msgspec.defstruct(name, _fields(function), forbid_unknown_fields=True)
        parameters = _schema(arguments_type, arguments)
    except TypeError as error:
        raise ToolDefinitionError(f"tool {name!r}: {error}") from error
    return Tool(name, description, parameters, function, arguments_type)


def when(condition: Condition) -> Callable[[Tool], Tool]:
    """Offer a tool only to agents for which `condition` is true; write it above `@tool`."""

    def restrict(subject: Tool) -> Tool:
        if not isinstance(subject, Tool):
            raise ToolDefinitionError("write @when(...) above @tool, not below it")
        return replace(subject, condition=condition)

    return restrict


def split_docstring(text: str) -> tuple[str, dict[str, str]]:
    """A Google-style docstring as its description and its arguments' descriptions by name."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in textwrap.dedent(text).splitlines():
        match = _SECTION.match(line)
        if match:
            current = match.group(1)
            sections[current] = []
        else:
            sections[current].append(line)
    lines = sections.get("Args", sections.get("Arguments", []))
    return "\n".join(sections[""]).strip(), _argument_texts(lines)


def _argument_texts(lines: list[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    name = ""
    block = textwrap.dedent("\n".join(lines)).splitlines()
    for line in block:
        match = None if line.startswith((" ", "\t")) else _ARGUMENT.match(line)
        if match:
            name = match.group(1)
            texts[name] = match.group(2).strip()
        elif name and line.strip():
            texts[name] = f"{texts[name]} {line.strip()}".strip()
    return texts


def _fields(function: Callable[..., Any]) -> list[Any]:
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"parameter {parameter.name!r} must be passable by name")
        if parameter.name not in hints:
            raise TypeError(f"parameter {parameter.name!r} needs a type hint")
        fields.append(_field(parameter, hints[parameter.name]))
    return sorted(fields, key=len)  # required ones first, as a Struct wants them


def _field(parameter: inspect.Parameter, hint: Any) -> tuple[Any, ...]:
    if parameter.default is parameter.empty:
        return (parameter.name, hint)
    default = parameter.default
    if isinstance(default, list | dict | set):
        return (parameter.name, hint, msgspec.field(default_factory=lambda: default.copy()))
    return (parameter.name, hint, default)


def _schema(arguments_type: type[msgspec.Struct], texts: dict[str, str]) -> dict[str, Any]:
    (reference,), components = msgspec.json.schema_components(
        [arguments_type], ref_template="#/$defs/{name}"
    )
    own = dict(components.pop(reference["$ref"].rpartition("/")[2]))
    properties = {
        name: {**schema, "description": texts[name]} if name in texts else dict(schema)
        for name, schema in own.get("properties", {}).items()
    }
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["required"] = list(own.get("required", []))
    return schema | ({"$defs": components} if components else {})
