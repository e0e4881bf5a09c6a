"""What a model is told of a function, read from its source; and arguments made into objects."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import msgspec
import pytest

from o_sandbox.authoring import ToolDefinitionError, describe, describe_function

pytestmark = pytest.mark.unit

SOURCE = '''
from __future__ import annotations
import datetime as dt
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Literal, Optional, TypedDict, Union

class Color(Enum):
    RED = "red"
    BLUE = "blue"

@dataclass
class Point:
    """A place."""
    x: int
    colors: list[Color] = field(default_factory=list)

class Row(TypedDict, total=False):
    name: str
    at: dt.datetime

Mode = Literal["a", "b"]

@tool(tier="container", grants=["o.sleep"])
def place(
    points: list[Point], color: Color = Color.RED, mode: Mode = "a", row: Row | None = None,
    when: Optional[dt.date] = None, tags: set[str] = frozenset(), pair: tuple[int, str] = (1, "x"),
    limit: Annotated[int, "how many"] = 3, other: Union[Point, str, None] = None,
) -> list:
    """Place points.

    Args:
        points: the points
            to place
    """
    return [points, color, mode, row, when, sorted(tags), pair, limit, other]

def helper(x):
    return x
'''


def test_types_defaults_and_texts_become_a_schema() -> None:
    definition = describe_function(SOURCE)
    schema = definition.parameters
    properties: dict[str, Any] = schema["properties"]
    assert (definition.name, definition.description) == ("place", "Place points.")
    assert (definition.tier, definition.grants, definition.line) == ("container", ("o.sleep",), 25)
    assert schema["required"] == ["points"]
    assert properties["points"]["description"] == "the points to place"
    assert properties["points"]["items"] == {"$ref": "#/$defs/Point"}
    assert properties["color"] == {"enum": ["blue", "red"], "default": "red"}
    assert properties["mode"] == {"enum": ["a", "b"], "default": "a"}
    assert properties["limit"] == {"type": "integer", "description": "how many", "default": 3}
    assert properties["when"]["anyOf"][0] == {"type": "string", "format": "date"}
    assert schema["$defs"]["Point"]["description"] == "A place."
    assert schema["$defs"]["Row"]["required"] == []
    assert [each.name for each in describe(SOURCE)] == ["place"]


def test_plain_json_is_made_into_what_the_tool_wants() -> None:
    definition = describe_function(SOURCE)
    arguments = definition.checked(
        '{"points": [{"x": 1, "colors": ["red"]}], "when": "2026-01-02", "tags": ["b", "a"], '
        '"pair": [2, "y"], "other": {"x": 5}, "row": {"at": "2026-01-02T03:04:05"}}'
    )
    names: dict[str, Any] = {"tool": lambda **_: lambda function: function}
    exec(definition.code(SOURCE), names)  # noqa: S102 - our own source
    points, color, mode, row, when, tags, pair, limit, other = names[definition.entry](**arguments)
    assert points == [names["Point"](1, [names["Color"].RED])]
    assert (color, mode, limit) == (names["Color"].RED, "a", 3)
    assert (row["at"].hour, when.day, tags, pair) == (3, 2, ["a", "b"], (2, "y"))
    assert other == names["Point"](5)


def test_pydantic_models_are_read_without_importing_them() -> None:
    source = (
        "from pydantic import BaseModel, Field\n"
        "class Address(BaseModel):\n"
        "    street: str = Field(description='the street')\n"
        "    zip: str | None = None\n"
        "def f(to: Address) -> str:\n    'Send.'\n    return to.street\n"
    )
    definition = describe_function(source)
    address = definition.parameters["$defs"]["Address"]
    assert address["properties"]["street"]["description"] == "the street"
    assert address["required"] == ["street"]
    assert "Address.model_validate(o_given['to'])" in definition.adapter


def test_a_given_schema_takes_the_place_of_hints() -> None:
    given = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    for source in ("def f(x, y=2):\n    'd'", "def f(x: Foo, **more):\n    'd'"):
        definition = describe_function(source, given=given)
        assert (definition.parameters, definition.description) == (given, "d")
        assert definition.checked('{"x": "one"}') == {"x": "one"}
    readable = describe_function("def f(x: int):\n    'd'", given=given | {"title": "F"})
    assert readable.parameters["title"] == "F"
    with pytest.raises(msgspec.ValidationError):
        readable.checked('{"x": "one"}')


STATEFUL = '''
def jot(agent_state: "AgentState", when: datetime.date, fact: str = "x"):
    """Note a fact."""
    return agent_state, when, fact
'''


def test_the_agent_is_filled_in_and_no_model_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import datetime\n" + STATEFUL
    state = object()
    stand_in = ModuleType("o")
    stand_in.agent_state = lambda: state  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "o", stand_in)
    definition = describe_function(source)
    assert definition.needs == ("agent.read", "memory.read", "memory.write")
    assert list(definition.parameters["properties"]) == ["when", "fact"]
    assert definition.parameters["required"] == ["when"]
    with pytest.raises(msgspec.ValidationError, match="agent_state"):
        definition.checked('{"when": "2026-01-02", "agent_state": 1}')
    names: dict[str, Any] = {}
    exec(definition.code(source), names)  # noqa: S102 - our own source
    assert names[definition.entry](**definition.checked('{"when": "2026-01-02"}')) == (
        state, names["datetime"].date(2026, 1, 2), "x",
    )  # fmt: skip

    properties = {"agent_state": {"type": "object"}, "fact": {"type": "string"}}
    given = {"type": "object", "properties": properties, "required": ["agent_state", "fact"]}
    bare = "def jot(agent_state, fact):\n    'd'\n    return agent_state, fact"
    for text in (bare, bare.replace("fact)", "fact: str)", 1)):
        definition = describe_function(text, given=given)
        assert definition.parameters["properties"] == {"fact": {"type": "string"}}
        assert definition.parameters["required"] == ["fact"]
        exec(definition.code(text), names)  # noqa: S102 - our own source
        assert names[definition.entry](fact="y") == (state, "y")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(x, state):\n    'd'", "line 1: parameter 'state' of f is not in the schema"),
        ("def f(x, /):\n    'd'", "line 1: parameter 'x' of f must be passable by name"),
        ("def f(x):\n    pass", "line 1: tool 'f' has no docstring"),
        ("def f(:", "line 1: is no Python"),
        ("x = 1", "the source defines no function"),
    ],
)
def test_a_given_schema_does_not_help_what_cannot_be_called(source: str, said: str) -> None:
    with pytest.raises(ToolDefinitionError) as raised:
        describe_function(source, given={"type": "object", "properties": {"x": {}}})
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(x):\n    'd'", "line 1: parameter 'x' of f needs a type hint"),
        ("\ndef f(x: Foo):\n    'd'", "line 2: 'Foo' has no JSON form"),
        ("def f(:", "line 1: is no Python"),
        ("def f(x: int):\n    pass", "line 1: tool 'f' has no docstring"),
        ("def f(*a: int):\n    'd'", "line 1: every parameter of f must be passable by name"),
        ("x = 1", "the source defines no function"),
        ("class A:\n    pass\ndef f(a: A):\n    'd'", "line 1: class A cannot be made of JSON"),
        ("@tool(tier='moon')\ndef f():\n    'd'", "line 1: @tool: Invalid enum value 'moon'"),
        ("@tool(tier=x)\ndef f():\n    'd'", "line 1: `tier` of @tool must be a literal"),
        (
            "from dataclasses import dataclass\n@dataclass\nclass A:\n    a: 'A'\n"
            "def f(a: A):\n    'd'",
            "class A contains itself",
        ),
        ("(" * 5000, "line 1: is no Python"),
    ],
)
def test_says_the_line_and_the_cause(source: str, said: str) -> None:
    with pytest.raises(ToolDefinitionError) as raised:
        describe_function(source)
    assert said in str(raised.value)
