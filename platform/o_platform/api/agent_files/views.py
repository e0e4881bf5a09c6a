"""Agents as agent files show them: ids are the file's own, and nothing names this server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from o_contracts.messages import Message
from o_platform.agents.agent_files.role_messages import RoleMessage, as_roles
from o_platform.agents.agent_views import AgentView
from o_platform.agents.tools import ToolCatalogue
from o_platform.api.agents.schemas import AgentState
from o_platform.api.agents.views import agent_json

REVISION: Final = "o-1"
"""Of what this server writes; readers go by the fields."""
_AS_SHOWN: Final = (
    "name", "agent_type", "system", "description", "metadata", "tags", "tool_rules", "model",
    "model_settings", "embedding", "compaction_settings", "response_format", "timezone",
    "message_buffer_autoclear", "enable_sleeptime", "max_files_open",
    "per_file_view_window_char_limit", "hidden",
)  # fmt: skip
_NOT_OF_A_BLOCK: Final = {"id", "created_by_id", "last_updated_by_id"}
_MESSAGE: Final = {
    "id", "role", "content", "name", "otid", "sender_id", "group_id", "model", "agent_id",
    "tool_calls", "tool_call_id", "tool_returns", "created_at", "approve", "approval_request_id",
    "denial_reason", "approvals",
}  # fmt: skip


def agent_file(
    view: AgentView, messages: Sequence[Message], catalogue: ToolCatalogue
) -> dict[str, Any]:
    """The agent and what belongs to it as an agent file."""
    state = AgentState.model_validate_json(bytes(agent_json(view, catalogue)))
    blocks = [_block(f"block-{index}", block) for index, block in enumerate(state.blocks)]
    tools = [{**t.model_dump(mode="json"), "id": f"tool-{i}"} for i, t in enumerate(state.tools)]
    return {
        "agents": [_agent(state, len(blocks), len(tools), messages)],
        "groups": [],
        "blocks": blocks,
        "files": [],
        "sources": [],
        "tools": tools,
        "mcp_servers": [],
        "skills": [],
        "metadata": {"revision_id": REVISION},
        "created_at": datetime.now(UTC).isoformat(),
    }


def _agent(
    state: AgentState, blocks: int, tools: int, messages: Sequence[Message]
) -> dict[str, Any]:
    shown = state.model_dump(mode="json")
    said = [_message(index, one, state) for index, one in enumerate(_history(state, messages))]
    return {
        **{name: shown[name] for name in _AS_SHOWN},
        "id": "agent-0",
        "llm_config": shown["llm_config"],
        "embedding_config": shown["embedding_config"],
        "context_window_limit": shown["llm_config"]["context_window"],
        "memory_blocks": [],
        "block_ids": [f"block-{index}" for index in range(blocks)],
        "tools": [],
        "tool_ids": [f"tool-{index}" for index in range(tools)],
        "source_ids": [],
        "files_agents": [],
        "group_ids": [],
        "include_base_tools": False,
        "include_multi_agent_tools": False,
        "include_base_tool_rules": False,
        "include_default_source": False,
        "tool_exec_environment_variables": {},
        "secrets": None,
        "messages": said,
        "in_context_message_ids": [message["id"] for message in said],
    }


def _history(state: AgentState, messages: Sequence[Message]) -> list[RoleMessage]:
    if not messages:
        return []
    prompt = RoleMessage(
        role="system", content=[{"type": "text", "text": state.system}], created_at=state.created_at
    )
    return [prompt, *as_roles(messages)]


def _message(index: int, message: RoleMessage, state: AgentState) -> dict[str, Any]:
    shown = message.model_dump(mode="json", include=_MESSAGE)
    model = state.llm_config.model if message.role in ("assistant", "system") else None
    return {
        **shown, "type": "message", "id": f"message-{index}", "agent_id": "agent-0", "model": model,
        "tool_returns": shown["tool_returns"] or [], "approvals": shown["approvals"] or [],
    }  # fmt: skip


def _block(name: str, block: Any) -> dict[str, Any]:
    return {**block.model_dump(mode="json", exclude=_NOT_OF_A_BLOCK), "id": name}
