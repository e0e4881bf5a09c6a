"""Stored agents as the API shows them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import Response

from o_contracts.messages import ToolSpec
from o_platform.agents.agent_views import AgentView
from o_platform.agents.defaults import DEFAULT_CONTEXT_WINDOW
from o_platform.agents.tools import ToolCatalogue, tool_id
from o_platform.api.agents.schemas import (
    AgentState,
    LlmConfigState,
    MemoryState,
    ToolState,
)
from o_platform.api.answers import defaults_of, encoded
from o_platform.api.blocks.schemas import block_document
from o_platform.api.embedding_configs import embedding_config
from o_platform.api.folders.states import folder_state
from o_platform.api.groups.schemas import group_state
from o_platform.api.identities.schemas import shown_identity
from o_platform.api.messages.wire import MessageView
from o_platform.api.providers import endpoint_type, provider_type
from o_platform.api.tools.schemas import added_tool_state, mcp_tool_state
from o_platform.db.models import Agent
from o_tools.manifests import MANIFESTS
from o_tools.sandboxed import GRANTS, SANDBOXED, TIER

TOOL_RETURN_CHARS = 50_000
_BUILT_IN: dict[str, tuple[ToolSpec, ToolState, bytes]] = {}
_MEMORY_TOOLS = ("memory_", "core_memory_")


class AgentJson(NamedTuple):
    """An agent as the API shows it (`AgentState`), encoded.

    It begins with what is its own; its tools, which it has in common with others, come last.
    """

    own: bytes
    tools: bytes

    def __bytes__(self) -> bytes:
        """The whole of it."""
        return b"".join(self)


def agent_json(view: AgentView, catalogue: ToolCatalogue) -> AgentJson:
    """The agent as the API shows it, relations included."""
    own = msgspec.json.encode(_own(view))
    return AgentJson(own[:-1] + b',"tools":', _tools_json(view, catalogue))


def agent_answer(view: AgentView, catalogue: ToolCatalogue) -> Response:
    """The answer of a request that is answered with an agent."""
    return encoded(bytes(agent_json(view, catalogue)))


def _own(view: AgentView) -> dict[str, Any]:
    agent = view.agent
    config = agent.config
    blocks = msgspec.Raw(msgspec.json.encode([block_document(block) for block in view.blocks]))
    settings = {"provider_type": provider_type(agent.model), **agent.model_settings}
    group = None if view.group is None else group_state(view.group).model_dump(mode="json")
    secrets = [{"agent_id": agent.id, "key": name, "value": ""} for name in view.secrets]
    identities = [
        shown_identity(one, [agent.id]).model_dump(mode="json") for one in view.identities
    ]
    return {
        **_ALWAYS,
        "id": agent.id,
        "name": agent.name,
        "agent_type": agent.agent_type,
        "system": agent.system,
        "description": agent.description,
        "metadata": agent.meta,
        "tags": agent.tags,
        "blocks": blocks,
        "memory": {**_MEMORY, "agent_type": agent.agent_type, "blocks": blocks},
        "tool_rules": agent.tool_rules,
        "sources": [folder_state(*read).model_dump(mode="json") for read in view.folders],
        "message_ids": view.message_ids,
        "model": agent.model,
        "model_settings": settings,
        "llm_config": _llm_config(agent, settings),
        "embedding": agent.embedding,
        "embedding_config": _embedding_config(agent.embedding),
        "response_format": settings.get("response_format"),
        "compaction_settings": config.get("compaction_settings"),
        "enable_sleeptime": config.get("enable_sleeptime"),
        "multi_agent_group": group,
        "managed_group": group,
        "message_buffer_autoclear": config.get("message_buffer_autoclear", False),
        "timezone": agent.timezone,
        # Names alone: a value that is set is never shown again.
        "secrets": secrets,
        "tool_exec_environment_variables": secrets,
        "identities": identities,
        "identity_ids": [one.id for one in view.identities],
        "last_run_completion": agent.last_run_at,
        "last_run_duration_ms": None if agent.last_run_ms is None else round(agent.last_run_ms),
        "pending_approval": None if view.pending is None else MessageView().show(view.pending),
        "last_stop_reason": agent.last_stop_reason,
        "max_files_open": config.get("max_files_open", 10),
        "per_file_view_window_char_limit": config.get("per_file_view_window_char_limit", 25_000),
        "hidden": config.get("hidden"),
        "project_id": config.get("project_id"),
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }


def agent_tools(view: AgentView, catalogue: ToolCatalogue) -> list[ToolState]:
    """The tools an agent has, built-in and added, in its order."""
    states = []
    for name in view.agent.tools:
        spec = catalogue.spec(name)
        if spec is not None:
            states.append(tool_state(spec))
        elif name in view.tools:
            states.append(added_tool_state(view.tools[name]))
        elif name in view.mcp_tools:
            states.append(mcp_tool_state(view.mcp_tools[name]))
    return states


def tool_state(spec: ToolSpec) -> ToolState:
    """A built-in tool as the API shows it."""
    return _built_in(spec)[1]


def _built_in(spec: ToolSpec) -> tuple[ToolSpec, ToolState, bytes]:
    """A built-in tool with how it is shown: always the same, so made once."""
    made = _BUILT_IN.get(spec.name)
    if made is None or made[0] is not spec:
        state = _tool_state(spec)
        made = _BUILT_IN[spec.name] = spec, state, _encoded(state)
    return made


def _kind(name: str) -> str:
    if name in SANDBOXED:
        return "letta_builtin"
    manifest = MANIFESTS.get(name)
    if manifest is not None and "agents.send" in manifest.grants:
        return "letta_multi_agent_core"
    return "letta_memory_core" if name.startswith(_MEMORY_TOOLS) else "letta_core"


def _tool_state(spec: ToolSpec) -> ToolState:
    kind = _kind(spec.name)
    schema = {
        "name": spec.name, "description": spec.description, "parameters": spec.parameters
    }  # fmt: skip
    return ToolState(
        id=tool_id(spec.name), name=spec.name, description=spec.description, json_schema=schema,
        tool_type=kind, tags=[kind], return_char_limit=TOOL_RETURN_CHARS,
        metadata_=_manifest(spec.name),
    )  # fmt: skip


def _manifest(name: str) -> dict[str, Any]:
    """What the tool may do; nothing for one that is not this package's."""
    if name in SANDBOXED:
        return {"tier": TIER, "grants": list(GRANTS[name]), "effects": "none"}
    manifest = MANIFESTS.get(name)
    if manifest is None:
        return {}
    return {
        "tier": manifest.tier,
        "grants": manifest.grants,
        "effects": manifest.effects,
        "limits": {"calls": manifest.limits.calls},
    }


def _llm_config(agent: Agent, settings: dict[str, Any]) -> dict[str, Any]:
    provider, _, model = agent.model.partition("/")
    return {
        **_LLM_CONFIG,
        "model": model,
        "handle": agent.model,
        "model_endpoint_type": endpoint_type(agent.model),
        "context_window": agent.config.get("context_window_limit") or DEFAULT_CONTEXT_WINDOW,
        "provider_name": provider,
        "temperature": _number(settings.get("temperature")),
        "max_tokens": settings.get("max_output_tokens"),
        "max_reasoning_tokens": _thinking_tokens(settings),
        "parallel_tool_calls": settings.get("parallel_tool_calls") is True,
        "response_format": settings.get("response_format"),
    }


@lru_cache(maxsize=256)
def _embedding_config(handle: str) -> msgspec.Raw:
    return msgspec.Raw(embedding_config(handle).model_dump_json().encode())


def _tools_json(view: AgentView, catalogue: ToolCatalogue) -> bytes:
    built_in = [spec for name in view.agent.tools if (spec := catalogue.spec(name)) is not None]
    if len(built_in) == len(view.agent.tools):
        return _joined(tuple(_built_in(spec)[2] for spec in built_in))
    return b"[%b]}" % b",".join(map(_encoded, agent_tools(view, catalogue)))


@lru_cache(maxsize=256)
def _joined(tools: tuple[bytes, ...]) -> bytes:
    """One object for all agents that have these tools."""
    return b"[%b]}" % b",".join(tools)


def _encoded(tool: ToolState) -> bytes:
    return tool.model_dump_json().encode()


def _thinking_tokens(settings: dict[str, Any]) -> int:
    thinking = settings.get("thinking")
    tokens = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return tokens if isinstance(tokens, int) else 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


_ALWAYS: Final = defaults_of(AgentState)
"""What every agent shows alike."""
_MEMORY: Final = defaults_of(MemoryState)
_LLM_CONFIG: Final = defaults_of(LlmConfigState)
