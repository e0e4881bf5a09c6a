"""Stored agents as the API shows them."""

from __future__ import annotations

from typing import Any, cast

from o_contracts.messages import StopReason, ToolSpec
from o_platform.agents.agent_views import AgentView
from o_platform.agents.defaults import DEFAULT_CONTEXT_WINDOW, AgentType
from o_platform.agents.tools import ToolCatalogue, tool_id
from o_platform.api.agents.schemas import (
    AgentState,
    LlmConfigState,
    MemoryState,
    ToolState,
)
from o_platform.api.blocks.schemas import block_state
from o_platform.api.embedding_configs import embedding_config
from o_platform.api.folders.states import folder_state
from o_platform.api.groups.schemas import group_state
from o_platform.api.identities.schemas import shown_identity
from o_platform.api.messages.wire import MessageView
from o_platform.api.providers import endpoint_type, provider_type
from o_platform.api.tools.schemas import added_tool_state, mcp_tool_state
from o_platform.db.models import Agent
from o_tools.manifests import MANIFESTS

TOOL_RETURN_CHARS = 50_000
_TOOL_STATES: dict[str, tuple[ToolSpec, ToolState]] = {}
_MEMORY_TOOLS = ("memory_", "core_memory_")


def agent_state(view: AgentView, catalogue: ToolCatalogue) -> AgentState:
    """The agent as the API shows it, relations included."""
    agent = view.agent
    config = agent.config
    blocks = [block_state(block) for block in view.blocks]
    settings = _model_settings(agent)
    group = None if view.group is None else group_state(view.group)
    return AgentState(
        id=agent.id,
        name=agent.name,
        agent_type=cast(AgentType, agent.agent_type),
        system=agent.system,
        description=agent.description,
        metadata=agent.meta,
        tags=agent.tags,
        blocks=blocks,
        memory=MemoryState(agent_type=agent.agent_type, blocks=blocks),
        tools=agent_tools(view, catalogue),
        tool_rules=agent.tool_rules,
        sources=[folder_state(*read).model_dump() for read in view.folders],
        message_ids=view.message_ids,
        model=agent.model,
        model_settings=settings,
        llm_config=_llm_config(agent, settings),
        embedding=agent.embedding,
        embedding_config=embedding_config(agent.embedding),
        response_format=settings.get("response_format"),
        compaction_settings=config.get("compaction_settings"),
        enable_sleeptime=config.get("enable_sleeptime"),
        multi_agent_group=group,
        managed_group=group,
        message_buffer_autoclear=config.get("message_buffer_autoclear", False),
        timezone=agent.timezone,
        secrets=_secrets(view),
        tool_exec_environment_variables=_secrets(view),
        identities=[shown_identity(one, [agent.id]).model_dump() for one in view.identities],
        identity_ids=[one.id for one in view.identities],
        last_run_completion=agent.last_run_at,
        last_run_duration_ms=None if agent.last_run_ms is None else round(agent.last_run_ms),
        pending_approval=None if view.pending is None else MessageView().show(view.pending),
        last_stop_reason=cast("StopReason | None", agent.last_stop_reason),
        max_files_open=config.get("max_files_open", 10),
        per_file_view_window_char_limit=config.get("per_file_view_window_char_limit", 25_000),
        hidden=config.get("hidden"),
        project_id=config.get("project_id"),
        created_at=agent.created_at,
        updated_at=agent.updated_at,
    )


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
    """A built-in tool as the API shows it; always the same, so made once."""
    made = _TOOL_STATES.get(spec.name)
    if made is None or made[0] is not spec:
        made = _TOOL_STATES[spec.name] = spec, _tool_state(spec)
    return made[1]


def _tool_state(spec: ToolSpec) -> ToolState:
    schema = {
        "name": spec.name, "description": spec.description, "parameters": spec.parameters
    }  # fmt: skip
    kind = "letta_memory_core" if spec.name.startswith(_MEMORY_TOOLS) else "letta_core"
    return ToolState(
        id=tool_id(spec.name), name=spec.name, description=spec.description, json_schema=schema,
        tool_type=kind, tags=[kind], return_char_limit=TOOL_RETURN_CHARS,
        metadata_=_manifest(spec.name),
    )  # fmt: skip


def _manifest(name: str) -> dict[str, Any]:
    """What the tool may do; nothing for one that is not this package's."""
    manifest = MANIFESTS.get(name)
    if manifest is None:
        return {}
    return {
        "tier": manifest.tier,
        "grants": manifest.grants,
        "effects": manifest.effects,
        "limits": {"calls": manifest.limits.calls},
    }


def _secrets(view: AgentView) -> list[dict[str, Any]]:
    """Names alone: a value that is set is never shown again."""
    return [{"agent_id": view.agent.id, "key": name, "value": ""} for name in view.secrets]


def _model_settings(agent: Agent) -> dict[str, Any]:
    return {"provider_type": provider_type(agent.model), **agent.model_settings}


def _llm_config(agent: Agent, settings: dict[str, Any]) -> LlmConfigState:
    provider, _, model = agent.model.partition("/")
    return LlmConfigState(
        model=model,
        handle=agent.model,
        model_endpoint_type=endpoint_type(agent.model),
        context_window=agent.config.get("context_window_limit") or DEFAULT_CONTEXT_WINDOW,
        provider_name=provider,
        temperature=_number(settings.get("temperature")),
        max_tokens=settings.get("max_output_tokens"),
        max_reasoning_tokens=_thinking_tokens(settings),
        parallel_tool_calls=settings.get("parallel_tool_calls") is True,
        response_format=settings.get("response_format"),
    )


def _thinking_tokens(settings: dict[str, Any]) -> int:
    thinking = settings.get("thinking")
    tokens = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return tokens if isinstance(tokens, int) else 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
