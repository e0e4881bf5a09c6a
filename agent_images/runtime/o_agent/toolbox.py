"""The tools of an agent as the step loop needs them: encoded for the model, and who runs each.

Most agents of a lineage have the same tools, so toolboxes are shared between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from o_agent.sdk import AgentView, Tool
from o_agent.tool_rules import ToolRules, parse_rules
from o_agent.tool_runner import Runnable
from o_contracts.llm import LlmTool
from o_contracts.messages import AgentContext, ToolSpec
from o_contracts.turns import ClientTool

Home = Literal["bridge", "instance"]
MAX_SHARED: Final = 256
"""Distinct toolboxes kept; beyond that sharing starts anew."""

_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Toolbox:
    """`encoded` is a list of `LlmTool`; `homes` names who runs each tool.

    `runnables` are those that this instance runs.
    """

    encoded: msgspec.Raw
    homes: Mapping[str, Home]
    rules: ToolRules
    tools: Sequence[LlmTool]
    runnables: Mapping[str, Runnable]
    _subsets: dict[frozenset[str], msgspec.Raw] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many tools there are."""
        return len(self.homes)

    def offered(
        self, names: frozenset[str] | None, client_tools: Sequence[ClientTool]
    ) -> msgspec.Raw:
        """The tools of these names (None: all) and the client's, as the model is told them."""
        if client_tools:
            return _encode([*self._without(client_tools, names), *map(_client_tool, client_tools)])
        if names is None:
            return self.encoded
        found = self._subsets.get(names)
        if found is None:
            found = self._subsets[names] = _encode(self._without((), names))
        return found

    def _without(
        self, client_tools: Sequence[ClientTool], names: frozenset[str] | None
    ) -> list[LlmTool]:
        hidden = {tool.name for tool in client_tools}
        return [
            tool
            for tool in self.tools
            if tool.name not in hidden and (names is None or tool.name in names)
        ]


class ToolboxShelf:
    """Makes toolboxes, giving equal agents the same one."""

    def __init__(self, genome_tools: Mapping[str, Tool]) -> None:
        """`genome_tools` are offered to every agent that has no tool of the same name."""
        self._genome_tools = genome_tools
        self._runnables = {name: Runnable.of_genome(tool) for name, tool in genome_tools.items()}
        self._shared: dict[bytes, Toolbox] = {}

    def toolbox_of(self, context: AgentContext) -> Toolbox:
        """The tools of an agent: its own, then the genome's."""
        specs = [spec for spec in context.tools if self._can_run(spec)]
        own = {spec.name for spec in specs}
        agent = _view_of(context)
        for tool in self._genome_tools.values():
            if tool.name not in own and tool.is_offered(agent):
                specs.append(ToolSpec(tool.name, tool.description, tool.parameters, "instance"))
        key = _encoder.encode((specs, context.tool_rules))
        found = self._shared.get(key)
        if found is None:
            if len(self._shared) >= MAX_SHARED:
                self._shared.clear()
            found = self._shared[key] = _make_toolbox(
                specs, parse_rules(context.tool_rules), self._runnables_of(specs)
            )
        return found

    def _can_run(self, spec: ToolSpec) -> bool:
        return spec.home == "bridge" or spec.code is not None or spec.name in self._genome_tools

    def _runnables_of(self, specs: list[ToolSpec]) -> dict[str, Runnable]:
        return {
            spec.name: self._runnables[spec.name]
            if spec.code is None
            else Runnable.of_agent(spec.name, spec.code)
            for spec in specs
            if spec.home == "instance"
        }


def _view_of(context: AgentContext) -> AgentView:
    labels = frozenset(block.label for block in context.blocks)
    return AgentView(context.agent_id, context.name, context.agent_type, context.model, labels)


def _make_toolbox(
    specs: list[ToolSpec], rules: ToolRules, runnables: Mapping[str, Runnable]
) -> Toolbox:
    tools = [LlmTool(spec.name, spec.description, spec.parameters) for spec in specs]
    homes = {spec.name: spec.home for spec in specs}
    return Toolbox(_encode(tools), homes, rules, tools, runnables)


def _encode(tools: list[LlmTool]) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(tools))


def _client_tool(tool: ClientTool) -> LlmTool:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return LlmTool(tool.name, tool.description or "", parameters)
