"""An agent's context window, compiled once and carried from turn to turn.

The window is the system prompt (the genome's template around the agent's own prompt, its memory
blocks and a few lines of metadata) and the newest messages of the history. What does not change
between turns is kept encoded. A `CompiledContext` never changes: a committed turn makes a new
one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, Final
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from o_agent.approvals import Pending, pending_of
from o_agent.genome import Genome, MemoryPolicy
from o_agent.history import History
from o_agent.llm_messages import Unit, encode_unit, history_units
from o_agent.prompt_template import RenderedPrompt
from o_agent.tool_rules import parse_rules, render_rules
from o_agent.toolbox import Toolbox, ToolboxShelf
from o_contracts.llm import LlmMessage
from o_contracts.messages import AgentContext, Block
from o_contracts.turns import ClientSkill

_SETTINGS: Final = (
    "temperature",
    "max_tokens",
    "tool_choice",
    "reasoning_effort",
    "parallel_tool_calls",
    "response_format",
    "thinking",
    "verbosity",
)
_OVERHEAD_BYTES: Final = 2_500
"""Estimated size of a compiled context besides its texts."""
BUILTIN: Final = "o/"
MAX_HISTORY: Final = 500
"""Messages in the window of any other model; it is compacted before there are so many."""
_NO_TEMPERATURE: Final = 1.0
"""The genome's temperature that leaves the choice to the model (some refuse any other value)."""


@dataclass(frozen=True, slots=True)
class CompiledContext:
    """What a worker keeps of an agent. `agent` has neither messages nor tools in it."""

    agent: AgentContext
    toolbox: Toolbox
    settings: dict[str, Any]
    prompt: RenderedPrompt
    window: History
    pending: Pending | None = None
    """What waits for the client at the end of the window."""
    tokens: int = 0
    """What the provider reported for the window's last use; 0 if it has not been used yet."""

    @property
    def version(self) -> int:
        """The agent's version this was compiled from."""
        return self.agent.version

    @property
    def size_bytes(self) -> int:
        """Estimated memory this takes in a worker."""
        texts = len(self.agent.system) + 2 * (len(self.prompt.before) + len(self.prompt.after))
        return _OVERHEAD_BYTES + texts + self.window.size_bytes


class ContextCompiler:
    """Makes compiled contexts by the rules of one genome."""

    def __init__(self, genome: Genome) -> None:
        """`genome` decides the prompt, the history's length and the settings."""
        self._genome = genome
        self._shelf = ToolboxShelf(genome.tools)
        self.history = genome.count("history_messages")

    def compile(self, context: AgentContext) -> CompiledContext:
        """Compile what the bridge sent."""
        toolbox = self._shelf.toolbox_of(context)
        # Interned, as most agents have the same system prompt.
        system = sys.intern(context.system)
        agent = msgspec.structs.replace(
            context, system=system, messages=[], tools=[], earlier_messages=0
        )
        prompt = self.render_prompt(agent, agent.system)
        window = History([], 0, 0, context.earlier_messages + len(context.messages))
        units = history_units(context.messages)
        window = window.extended(units, self._limit(context.model), new_messages=0)
        settings = self._settings(agent, toolbox)
        pending = pending_of(context.messages)
        return CompiledContext(agent, toolbox, settings, prompt, window, pending)

    def after_turn(
        self,
        compiled: CompiledContext,
        version: int,
        blocks: list[Block] | None,
        made: list[Unit],
        messages: int,
        pending: Pending | None = None,
        tokens: int = 0,
    ) -> CompiledContext:
        """The context after a committed turn of `messages` stored messages.

        `blocks` are all of the agent's blocks, if any has changed; `pending` what waits after it,
        `tokens` what the provider reported for the turn's last window.
        """
        limit = self._limit(compiled.agent.model)
        window = compiled.window.extended(made, limit, new_messages=messages)
        if compiled.agent.forgets and pending is None:
            window = History([], 0, 0, window.total)
        if blocks is None:
            agent = msgspec.structs.replace(compiled.agent, version=version)
            prompt = compiled.prompt
        else:
            agent = msgspec.structs.replace(compiled.agent, version=version, blocks=blocks)
            prompt = self.render_prompt(agent, agent.system)
        toolbox, settings = compiled.toolbox, compiled.settings
        return CompiledContext(agent, toolbox, settings, prompt, window, pending, tokens)

    def _limit(self, model: str) -> int:
        """Messages in a window at most; built-in models summarize nothing, so they get few."""
        return self.history if model.startswith(BUILTIN) else MAX_HISTORY

    def render_prompt(self, agent: AgentContext, system: str) -> RenderedPrompt:
        """The system prompt without its metadata. `system` may override the agent's own."""
        memory = render_memory(agent.blocks, self._genome.policy)
        if agent.tool_rules:
            rules = render_rules(parse_rules(agent.tool_rules))
            memory = f"{memory}\n\n{rules}" if rules else memory
        return self._genome.template.render(system, memory)

    def _settings(self, agent: AgentContext, toolbox: Toolbox) -> dict[str, Any]:
        given = _flat(agent.model_settings)
        settings = {key: given[key] for key in _SETTINGS if given.get(key) is not None}
        if "max_tokens" not in settings and given.get("max_output_tokens"):
            settings["max_tokens"] = given["max_output_tokens"]
        temperature = self._genome.number("temperature")
        if temperature != _NO_TEMPERATURE:
            settings.setdefault("temperature", temperature)
        if toolbox.homes and not toolbox.rules.allow_parallel:
            settings["parallel_tool_calls"] = False
        return settings


def _flat(given: dict[str, Any]) -> dict[str, Any]:
    """The settings with what single providers call by other names."""
    reasoning, thinking = given.get("reasoning"), given.get("thinking_config")
    effort = reasoning.get("reasoning_effort") if isinstance(reasoning, dict) else None
    names = {
        "reasoning_effort": effort or given.get("effort"),
        "response_format": given.get("response_schema"),
        "thinking": _thinking(thinking) if isinstance(thinking, dict) else None,
    }
    return {name: value for name, value in names.items() if value is not None} | given


def _thinking(config: dict[str, Any]) -> dict[str, Any] | None:
    """Google's way to say how much a model may think, as LiteLLM takes it for any provider."""
    budget = config.get("thinking_budget")
    if budget is None:
        return {"type": "enabled"} if config.get("include_thoughts") else None
    return {"type": "enabled", "budget_tokens": budget}


def system_unit(prompt: RenderedPrompt, agent: AgentContext, earlier_messages: int) -> Unit:
    """The first message of a window."""
    text = prompt.complete(render_metadata(agent, earlier_messages))
    return encode_unit(LlmMessage("system", text), 0)


def with_skills(prompt: RenderedPrompt, skills: Sequence[ClientSkill]) -> RenderedPrompt:
    """The prompt with a section of what the client can do besides."""
    lines = [f"- {skill.name} ({skill.location}): {skill.description}" for skill in skills]
    section = "\n".join(["", "", "<available_skills>", *lines, "</available_skills>"])
    if prompt.has_metadata:
        return RenderedPrompt(prompt.before, prompt.after + section, True)
    return RenderedPrompt(prompt.before + section, prompt.after, False)


def render_memory(blocks: list[Block], policy: MemoryPolicy) -> str:
    """The memory blocks as sections, those named in the policy first."""
    rank = {label: index for index, label in enumerate(policy.order)}
    ordered = sorted(blocks, key=lambda block: (rank.get(block.label, len(rank)), block.label))
    sections = "\n".join(_render_block(block, policy) for block in ordered)
    guidance = f"{policy.guidance.strip()}\n" if policy.guidance.strip() else ""
    return f"<memory_blocks>\n{guidance}{sections}\n</memory_blocks>"


def render_metadata(agent: AgentContext, earlier_messages: int) -> str:
    """The lines that change from turn to turn."""
    today = _today(agent.timezone, int(time.time()) // 900)
    if earlier_messages:
        hidden = f"{earlier_messages} earlier messages of this conversation are not shown here."
    else:
        hidden = "All messages of this conversation are shown."
    return f"<metadata>\nAgent: {agent.agent_id}\nToday: {today}\n{hidden}\n</metadata>"


def _render_block(block: Block, policy: MemoryPolicy) -> str:
    attributes = [f"label={quoteattr(block.label)}"]
    if policy.show_usage:
        attributes.append(f'characters="{len(block.value)}" limit="{block.limit}"')
    if block.read_only:
        attributes.append('read_only="true"')
    lines = [f"<block {' '.join(attributes)}>"]
    if policy.show_descriptions and block.description:
        lines.append(f"<description>{block.description}</description>")
    lines += ["<value>", block.value, "</value>", "</block>"]
    return "\n".join(lines)


@lru_cache(maxsize=64)
def _today(timezone: str, quarter_hour: int) -> str:
    moment = datetime.fromtimestamp(quarter_hour * 900, UTC)
    return moment.astimezone(_zone(timezone)).strftime("%A, %d %B %Y (%Z)")


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # no such zone, or no zone files in the image
        return UTC
