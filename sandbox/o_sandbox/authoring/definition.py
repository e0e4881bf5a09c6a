"""What `describe` gives: a function as a model sees it, and what it takes to call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from o_sandbox.tool import Tier

AGENT_STATE: Final = "agent_state"
"""The parameter in which tools written for Letta get their agent; no model is told of it."""
AGENT_GRANTS: Final = ("agent.read", "memory.read", "memory.write")
"""What such a parameter may be used for."""


class ToolDefinitionError(Exception):
    """A function cannot be offered as a tool; says the line, the cause, and what to change."""

    def __init__(self, message: str, line: int = 0) -> None:
        """`line` of the source, from 1; 0 where the whole source is meant."""
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Definition:
    """A function that can be a tool.

    `parameters` is a JSON schema; `arguments_type` checks arguments against what the hints say, and
    is a plain dict where a schema was given instead of hints. `adapter` is source
    to put after the tool's own, whose function takes plain JSON and makes the objects that the tool
    wants; empty where JSON is enough. `tier` and `grants` are what the author wrote in `@tool(…)`,
    None and empty where nothing was. `needs` are the
    grants for what the platform fills in (`agent_state`).
    """

    name: str
    description: str
    parameters: dict[str, Any]
    arguments_type: Any
    line: int
    is_marked: bool = False
    tier: Tier | None = None
    grants: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    adapter: str = ""

    @property
    def entry(self) -> str:
        """The function to call."""
        return adapter_name(self.name) if self.adapter else self.name

    def code(self, source: str) -> str:
        """The source to run."""
        return f"{source}\n\n{self.adapter}" if self.adapter else source

    def checked(self, arguments: str | bytes) -> dict[str, Any]:
        """A call's JSON arguments, checked; only those that were given, so defaults stay defaults.

        Raises:
            msgspec.MsgspecError: they do not fit the schema.
            UnicodeError: they are no text.
        """
        given = msgspec.json.decode(arguments or b"{}", type=self.arguments_type)
        plain = msgspec.to_builtins(given)
        return {name: value for name, value in plain.items() if value is not msgspec.UNSET}


def adapter_name(function: str) -> str:
    """What the adapter of a function is called."""
    return f"o_call_{function}"
