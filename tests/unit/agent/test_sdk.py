"""Tools made of functions."""

from __future__ import annotations

from typing import Literal

import pytest

from o_agent.sdk import AgentView, ToolDefinitionError, tool, when
from o_sandbox.authoring.docstrings import split_docstring

pytestmark = pytest.mark.unit


def search(query: str, limit: int = 5, kind: Literal["a", "b"] | None = None) -> list[str]:
    """Search the shelves.

    The second paragraph.

    Args:
        query: what to look for,
            in any language.
        limit (int): how many at most.

    Returns:
        Titles.
    """
    return [query, str(limit), str(kind)]


def test_the_schema_comes_from_hints_and_docstring() -> None:
    made = tool(search)
    assert made.name == "search"
    assert made.description == "Search the shelves.\n\nThe second paragraph."
    properties = made.parameters["properties"]
    assert properties["query"] == {
        "type": "string",
        "description": "what to look for, in any language.",
    }
    assert properties["limit"] == {
        "type": "integer",
        "default": 5,
        "description": "how many at most.",
    }
    assert properties["kind"]["anyOf"] == [{"enum": ["a", "b"]}, {"type": "null"}]
    assert made.parameters["required"] == ["query"]


def test_a_function_that_cannot_be_a_tool_says_why() -> None:
    def undocumented(text: str) -> str:
        return text

    def unhinted(text) -> str:  # type: ignore[no-untyped-def]
        """Do it."""
        return str(text)

    def variadic(*texts: str) -> str:
        """Do it."""
        return "".join(texts)

    def stateful(agent_state: object, text: str) -> str:
        """Do it."""
        return text

    with pytest.raises(ToolDefinitionError, match=r"read a block with `o\.memory\.read"):
        tool(stateful)
    with pytest.raises(ToolDefinitionError, match="'undocumented' has no docstring"):
        tool(undocumented)
    with pytest.raises(ToolDefinitionError, match="'text' of unhinted needs a type hint"):
        tool(unhinted)
    with pytest.raises(ToolDefinitionError, match="must be passable by name"):
        tool(variadic)


def test_when_restricts_a_tool() -> None:
    made = when(lambda agent: "human" in agent.block_labels)(tool(search))
    with_human = AgentView("agent-1", "a", "letta_v1_agent", "o/echo", frozenset({"human"}))
    without = AgentView("agent-2", "b", "letta_v1_agent", "o/echo", frozenset())
    assert made.is_offered(with_human)
    assert not made.is_offered(without)
    with pytest.raises(ToolDefinitionError, match="above @tool"):
        when(lambda _: True)(search)  # type: ignore[arg-type]


def test_docstrings_without_arguments() -> None:
    assert split_docstring("One line.") == ("One line.", {})
    assert split_docstring("") == ("", {})
