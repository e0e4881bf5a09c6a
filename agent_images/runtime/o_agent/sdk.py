"""What a genome's tools are written with: `@tool`, `@when`, `AgentView`.

```python
from o_agent.sdk import tool, when


@when(lambda agent: "human" in agent.block_labels)
@tool(tier="restricted")
def word_count(text: str, unique: bool = False) -> int:
    '''Count the words of a text.'''
    words = text.split()
    return len(set(words) if unique else words)
```

The model sees the function's name, its docstring (Google style: what `Args:` says of an argument
becomes its description) and a JSON schema made of the type hints, all read from the source
(`o_sandbox.authoring`); arguments are checked against it before the function is called. The
function runs in a sandbox of its `tier`, not in the worker: its whole file is loaded there anew, so
it may use what the file defines and imports, and no state of the worker.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from o_sandbox.authoring import Definition, ToolDefinitionError, describe_function
from o_sandbox.tool import Tier
from o_sandbox.tool import Tool as SandboxTool

__all__ = ["AgentView", "Condition", "Tool", "ToolDefinitionError", "tool", "when"]
DEFAULT_TIER: Tier = "wasm"
"""Where a tool runs that names no tier."""


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
    """A function the model may call, with what it is told about it and where it runs."""

    definition: Definition
    code: SandboxTool
    condition: Condition | None = None

    @property
    def name(self) -> str:
        """The function's name."""
        return self.definition.name

    @property
    def description(self) -> str:
        """What the model is told."""
        return self.definition.description

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return self.definition.parameters

    def is_offered(self, agent: AgentView) -> bool:
        """Whether this agent may call the tool."""
        return self.condition is None or bool(self.condition(agent))


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *, tier: Tier = ..., grants: Sequence[str] = ...
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    tier: Tier = DEFAULT_TIER,
    grants: Sequence[str] = (),
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Offer a function, plain or async, to the model.

    `tier` is the sandbox it runs in, `grants` the host calls it may make; both are read from the
    source, so they must be literals.

    Raises:
        ToolDefinitionError: no docstring, a parameter without a type hint or with one that has no
            JSON form, a parameter that cannot be passed by name or is filled in by the platform,
            or no source to read.
    """
    if function is None:
        return _defined
    return _defined(function)


def _defined(function: Callable[..., Any]) -> Tool:
    source = "".join(linecache.getlines(function.__code__.co_filename))
    definition = describe_function(source, function.__name__)
    if definition.needs:
        raise ToolDefinitionError(
            f"`agent_state` of {definition.name} is filled in for tools that are added over the "
            'API only; read a block with `o.memory.read(label="…")` and the grant `memory.read`',
            definition.line,
        )
    return made_of(source, definition)


def made_of(source: str, definition: Definition) -> Tool:
    """The tool that `source` defines so."""
    tier = definition.tier or DEFAULT_TIER
    code = SandboxTool(definition.name, definition.code(source), definition.entry, tier=tier)
    return Tool(definition, code)


def when(condition: Condition) -> Callable[[Tool], Tool]:
    """Offer a tool only to agents for which `condition` is true; write it above `@tool`."""

    def restrict(subject: Tool) -> Tool:
        if not isinstance(subject, Tool):
            raise ToolDefinitionError("write @when(...) above @tool, not below it")
        return replace(subject, condition=condition)

    return restrict
