"""From the bodies of requests to what the service is to create or change."""

from __future__ import annotations

from typing import Any, cast

from o_contracts.ids import new_id, now_us
from o_contracts.messages import Message, MessageType
from o_platform.agents.defaults import DEFAULT_EMBEDDING, default_system
from o_platform.agents.inputs import AgentChanges, NewAgent
from o_platform.api.agents.schemas import (
    AgentCreate,
    AgentUpdate,
    FirstMessage,
    LlmConfigBody,
    ResponseFormatBody,
)
from o_platform.errors import NotOfferedError

REASONING = "medium"
"""How much a model is to think that is only told to."""
_KEPT_AS_SENT = (
    "context_window_limit",
    "compaction_settings",
    "enable_sleeptime",
    "message_buffer_autoclear",
    "max_files_open",
    "per_file_view_window_char_limit",
    "hidden",
    "project_id",
)
"""Fields that the platform keeps and shows, in `Agent.config`."""

_NOT_OFFERED = {
    "from_template": "templates are not offered by this server",
    "memory_variables": "templates are not offered by this server",
    "template": "templates are not offered by this server",
    "message_ids": "choosing the messages in context is not offered; reset them instead",
}
_MESSAGE_TYPES: dict[str, MessageType] = {
    "user": "user_message",
    "system": "system_message",
    "assistant": "assistant_message",
}
_CLEARED_BY_NULL = {"description", "metadata"}


def new_agent(body: AgentCreate, *, lineage: str, default_model: str) -> NewAgent:
    """What `POST /v1/agents` asks for.

    Raises:
        NotOfferedError: it asks for something this server does not have.
    """
    _refuse_what_is_not_offered(body)
    return NewAgent(
        lineage=lineage,
        model=_model(body) or default_model,
        name=body.name,
        agent_type=body.agent_type,
        system=body.system if body.system is not None else default_system(body.agent_type),
        model_settings=_model_settings(body),
        embedding=_embedding(body) or DEFAULT_EMBEDDING,
        description=body.description,
        timezone=body.timezone or "UTC",
        include_base_tools=body.include_base_tools,
        tools=body.tools or [],
        tool_ids=body.tool_ids or [],
        tool_rules=_tool_rules(body),
        tags=_distinct(body.tags),
        metadata=body.metadata,
        config=_config(body),
        blocks=[block.new_block() for block in body.memory_blocks or []],
        block_ids=body.block_ids or [],
        identity_ids=_distinct(body.identity_ids),
        folder_ids=_folder_ids(body) or [],
        messages=[_message(message) for message in body.initial_message_sequence or []],
        secrets=_secrets(body) or {},
    )


def agent_changes(body: AgentUpdate, model_settings: dict[str, Any]) -> AgentChanges:
    """What `PATCH /v1/agents/{id}` asks for; `model_settings` are those in force.

    Raises:
        NotOfferedError: it asks for something this server does not have.
    """
    _refuse_what_is_not_offered(body)
    sent = {
        name
        for name in body.model_fields_set
        if getattr(body, name) is not None or name in _CLEARED_BY_NULL
    }
    wanted: dict[str, Any] = {
        "name": body.name,
        "system": body.system,
        "description": body.description,
        "timezone": body.timezone,
        "tags": _distinct(body.tags),
        "tool_rules": _tool_rules(body),
        "tool_ids": body.tool_ids,
        "block_ids": body.block_ids,
        "identity_ids": _distinct(body.identity_ids),
        "last_stop_reason": body.last_stop_reason,
    }
    changes = {name: value for name, value in wanted.items() if name in sent}
    renamed = {"metadata": "meta", "last_run_completion": "last_run_at"}
    renamed |= {"last_run_duration_ms": "last_run_ms"}
    changes |= {column: getattr(body, name) for name, column in renamed.items() if name in sent}
    settings = model_settings if body.model_settings is None else {}
    derived = {
        "model": _model(body),
        "embedding": _embedding(body),
        "model_settings": _changed_settings(body, settings),
        "config": _config(body) or None,
        "secrets": _secrets(body),
        "folder_ids": _folder_ids(body),
    }
    changes |= {name: value for name, value in derived.items() if value is not None}
    return cast(AgentChanges, changes)


def builds_on_settings(body: AgentUpdate) -> bool:
    """Whether what becomes of a model's settings depends on what they are."""
    return body.model_settings is None and bool(_model_settings(body))


def _refuse_what_is_not_offered(body: AgentCreate | AgentUpdate) -> None:
    for name, sentence in _NOT_OFFERED.items():
        if getattr(body, name, None):
            raise NotOfferedError(sentence, field=name)


def _model(body: AgentCreate | AgentUpdate) -> str | None:
    if body.model is None and body.llm_config is not None:
        return body.llm_config.model_handle()
    return body.model


def _embedding(body: AgentCreate | AgentUpdate) -> str | None:
    if body.embedding is None and body.embedding_config is not None:
        handle = body.embedding_config.get("handle")
        return handle if isinstance(handle, str) else None
    return body.embedding


def _model_settings(body: AgentCreate | AgentUpdate) -> dict[str, Any]:
    config = body.llm_config or LlmConfigBody()
    reasons = body.reasoning or body.enable_reasoner or config.enable_reasoner
    deprecated = {
        "max_output_tokens": _first(body.max_tokens, config.max_tokens),
        "parallel_tool_calls": _first(body.parallel_tool_calls, config.parallel_tool_calls),
        "response_format": _first(_dumped(body.response_format), config.response_format),
        "temperature": config.temperature,
        "reasoning_effort": _first(config.reasoning_effort, REASONING if reasons else None),
        "thinking": _thinking(body.max_reasoning_tokens or config.max_reasoning_tokens),
    }
    folded = {name: value for name, value in deprecated.items() if value is not None}
    return folded | (body.model_settings or {})


def _thinking(tokens: int | None) -> dict[str, Any] | None:
    return {"type": "enabled", "budget_tokens": tokens} if tokens else None


def _dumped(form: ResponseFormatBody | None) -> dict[str, Any] | None:
    return None if form is None else form.model_dump(exclude_unset=True)


def _first(*values: Any) -> Any:
    """The first that is given."""
    return next((value for value in values if value is not None), None)


def _changed_settings(body: AgentUpdate, present: dict[str, Any]) -> dict[str, Any] | None:
    changed = _model_settings(body)
    return {**present, **changed} if changed or body.model_settings is not None else None


def _config(body: AgentCreate | AgentUpdate) -> dict[str, Any]:
    kept = {name: getattr(body, name) for name in _KEPT_AS_SENT}
    if body.llm_config is not None and body.context_window_limit is None:
        kept["context_window_limit"] = body.llm_config.context_window
    if body.compaction_settings is not None:
        kept["compaction_settings"] = body.compaction_settings.model_dump(exclude_unset=True)
    return {name: value for name, value in kept.items() if value is not None}


def _folder_ids(body: AgentCreate | AgentUpdate) -> list[str] | None:
    if body.folder_ids is None and body.source_ids is None:
        return None
    return _distinct([*(body.folder_ids or []), *(body.source_ids or [])])


def _secrets(body: AgentCreate | AgentUpdate) -> dict[str, str] | None:
    if body.secrets is None:
        return body.tool_exec_environment_variables
    return body.secrets


def _tool_rules(body: AgentCreate | AgentUpdate) -> list[dict[str, Any]]:
    return [rule.model_dump() for rule in body.tool_rules or []]


def _distinct(tags: list[str] | None) -> list[str]:
    return list(dict.fromkeys(tags or []))


def _message(first: FirstMessage) -> Message:
    return Message(
        id=new_id("message"), type=_MESSAGE_TYPES[first.role], date_us=now_us(),
        content=first.content, name=first.name, otid=first.otid, sender_id=first.sender_id,
    )  # fmt: skip
