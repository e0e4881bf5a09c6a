"""The tools an agent can be given, by name and by id.

A built-in tool's id is derived from its name, so it is the same on every server and no table has to
remember it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Set

from o_contracts.messages import ToolSpec
from o_platform.agents.defaults import base_tools
from o_platform.errors import NotFoundError


class ToolCatalogue:
    """Every tool this server offers."""

    def __init__(self, specs: Iterable[ToolSpec]) -> None:
        """`specs` are the built-in tools."""
        self._specs = {spec.name: spec for spec in specs}
        self._names = {tool_id(name): name for name in self._specs}

    @property
    def names(self) -> Set[str]:
        """Names of every tool."""
        return self._specs.keys()

    def spec(self, name: str) -> ToolSpec | None:
        """The tool with this name."""
        return self._specs.get(name)

    def base(self, agent_type: str) -> list[str]:
        """Names of the tools that agents of this type start with."""
        return [name for name in base_tools(agent_type) if name in self._specs]

    def specs(self) -> list[ToolSpec]:
        """Every tool, in order."""
        return list(self._specs.values())

    def known(self, name: str) -> str:
        """The name, if it is a tool's.

        Raises:
            NotFoundError: it is none.
        """
        if name not in self._specs:
            offered = ", ".join(sorted(self._specs)) or "none"
            raise NotFoundError(
                f"no tool is named {name!r}; built in: {offered}; add others with POST /v1/tools",
                tool=name,
            )
        return name

    def has_all(self, names: Iterable[str], ids: Iterable[str]) -> bool:
        """Whether all tools with these names and ids are in the catalogue."""
        return self._specs.keys() >= {*names} and self._names.keys() >= {*ids}

    def name_of(self, wanted: str) -> str | None:
        """The name of the tool with this id, if it is in the catalogue."""
        return self._names.get(wanted)

    def named(self, wanted: str) -> str:
        """The name of the tool with this id.

        Raises:
            NotFoundError: it is none's.
        """
        name = self._names.get(wanted)
        if name is None:
            raise NotFoundError(f"no tool has the id {wanted!r}", tool_id=wanted)
        return name


def tool_id(name: str) -> str:
    """The id of the built-in tool with this name."""
    digest = hashlib.sha256(f"project-o built-in tool {name}".encode()).hexdigest()
    return f"tool-{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
