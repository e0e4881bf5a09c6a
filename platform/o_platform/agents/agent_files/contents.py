"""From the contents of an agent file to what is to be created, and what has to be left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast
from zoneinfo import available_timezones

from o_contracts.messages import Message
from o_platform.agents.agent_files.format import RULE_TYPES, FileAgent, FileBlock, FileTool
from o_platform.agents.agent_files.role_messages import as_stored
from o_platform.agents.defaults import DEFAULT_AGENT_TYPE, DEFAULT_EMBEDDING, DEFAULT_SYSTEM
from o_platform.agents.inputs import NewAgent, NewBlock
from o_platform.agents.tool_service import ToolFields

_COPY = "_copy"
HEARTBEAT = "request_heartbeat"
_KEPT_AS_SENT = (
    "context_window_limit",
    "compaction_settings",
    "message_buffer_autoclear",
    "max_files_open",
    "per_file_view_window_char_limit",
    "hidden",
)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is to be different from the file; None leaves it as it is."""

    name: str | None = None
    model: str | None = None
    embedding: str | None = None
    copy_suffix: bool = False
    strip_messages: bool = False
    replace_tools: bool = False
    """Tools that exist under the name of one in the file get its source."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Of every agent of the file."""


def new_agent(
    agent: FileAgent, overrides: Overrides, *, lineage: str, default_model: str
) -> NewAgent:
    """The agent to create, without its tools, blocks and messages."""
    described = agent.llm_config
    model = overrides.model or agent.model or (described and described.named()) or default_model
    embedding = agent.embedding or (agent.embedding_config and agent.embedding_config.handle)
    name = overrides.name or agent.name
    return NewAgent(
        lineage=lineage, model=model, name=name + _COPY if overrides.copy_suffix else name,
        agent_type=agent.agent_type, system=DEFAULT_SYSTEM if agent.system is None else
        agent.system, model_settings=_model_settings(agent),
        embedding=overrides.embedding or embedding or DEFAULT_EMBEDDING,
        description=agent.description, timezone=_timezone(agent.timezone),
        include_base_tools=False, tool_rules=_known_rules(agent),
        secrets=overrides.secrets,
        tags=list(dict.fromkeys(agent.tags or [])), metadata=agent.metadata, config=_config(agent),
    )  # fmt: skip


def filled(wanted: NewAgent, tools: list[str], block_ids: list[str], file: FileAgent) -> NewAgent:
    """The same with its tools, blocks and messages."""
    return replace(
        wanted, tools=tools, block_ids=list(dict.fromkeys(block_ids)), messages=history(file)
    )


def history(agent: FileAgent) -> list[Message]:
    """Its messages as this server keeps them."""
    return as_stored(agent.messages, thinks_aloud=agent.agent_type != DEFAULT_AGENT_TYPE)


def new_block(block: FileBlock) -> NewBlock:
    """The block to create."""
    return NewBlock(
        label=block.label, value=block.value, limit=block.limit, description=block.description,
        read_only=block.read_only, metadata=block.metadata or {}, tags=block.tags or [],
    )  # fmt: skip


def tool_fields(tool: FileTool) -> ToolFields:
    """The tool to add."""
    sent = tool.model_dump(
        exclude_none=True, exclude={"id", "name", "tool_type", "source_type", "metadata_"}
    )
    if tool.metadata_ is not None:
        sent["meta"] = tool.metadata_
    sent["json_schema"] = _without_heartbeat({**(tool.json_schema or {}), "name": tool.name})
    return cast(ToolFields, sent)


def _without_heartbeat(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the argument that the retired server added to tools' schemas and took away again."""
    parameters = schema.get("parameters")
    if not isinstance(parameters, dict) or HEARTBEAT not in (parameters.get("properties") or {}):
        return schema
    properties = {k: v for k, v in parameters["properties"].items() if k != HEARTBEAT}
    required = [name for name in parameters.get("required") or () if name != HEARTBEAT]
    return {**schema, "parameters": {**parameters, "properties": properties, "required": required}}


def left_out(agent: FileAgent) -> list[str]:
    """What of the agent cannot be taken over, a sentence for each."""
    notes = []
    strange = {str(rule.get("type")) for rule in agent.tool_rules or []} - RULE_TYPES
    if strange:
        notes.append(f"{agent.name}: tool rules of unknown types: {', '.join(sorted(strange))}")
    if agent.timezone and _timezone(agent.timezone) != agent.timezone:
        notes.append(f"{agent.name}: the time zone {agent.timezone!r} is unknown; it is in UTC")
    return notes


def _known_rules(agent: FileAgent) -> list[dict[str, Any]]:
    return [
        rule for rule in agent.tool_rules or []
        if rule.get("type") in RULE_TYPES and isinstance(rule.get("tool_name"), str)
    ]  # fmt: skip


def _model_settings(agent: FileAgent) -> dict[str, Any]:
    settings = dict(agent.model_settings or {})
    described = agent.llm_config
    if agent.model_settings is None and described is not None:
        settings = {
            "temperature": described.temperature,
            "max_output_tokens": described.max_tokens,
            "parallel_tool_calls": described.parallel_tool_calls,
        }
    settings.setdefault("response_format", agent.response_format)
    return {name: value for name, value in settings.items() if value is not None}


def _config(agent: FileAgent) -> dict[str, Any]:
    kept = {name: getattr(agent, name) for name in _KEPT_AS_SENT}
    if agent.llm_config is not None and agent.context_window_limit is None:
        kept["context_window_limit"] = agent.llm_config.context_window
    return {name: value for name, value in kept.items() if value is not None}


def _timezone(name: str | None) -> str:
    return name if name in available_timezones() else "UTC"
