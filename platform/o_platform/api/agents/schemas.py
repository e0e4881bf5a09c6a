"""Bodies, parameters and answers of agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from o_contracts.messages import StopReason
from o_platform.agents.defaults import DEFAULT_AGENT_TYPE, AgentType, RuleType
from o_platform.api.blocks.schemas import BlockCreate, BlockState
from o_platform.api.embedding_configs import EmbeddingConfigState
from o_platform.api.fields import (
    MAX_INT32,
    AgentId,
    BlockId,
    FolderId,
    IdentityId,
    Input,
    Json,
    JsonValue,
    Name,
    PageQuery,
    Str,
    ToolId,
)
from o_platform.api.groups.schemas import GroupState


def _known_timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA timezone, such as UTC or Europe/Berlin")
    return value


Handle = Annotated[Str, StringConstraints(pattern=r"^[^/\s]+/\S+$", max_length=300)]
"""A model's name as `provider/model`."""
Timezone = Annotated[str, AfterValidator(_known_timezone)]


class ToolRuleBody(Input):
    """A rule on the order of tool calls; which further fields it has depends on `type`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    type: RuleType
    tool_name: Name


class FirstMessage(Input):
    """A message an agent starts its history with."""

    role: Literal["user", "system", "assistant"]
    content: Str | list[Json]
    name: Str | None = None
    otid: Str | None = None
    sender_id: Str | None = None


SecretName = Annotated[Str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
SecretValue = Annotated[Str, StringConstraints(min_length=1, max_length=10_000)]


class LlmConfigBody(Input):
    """The deprecated way to say which model; only these fields of it are read."""

    handle: Handle | None = None
    model: Name | None = None
    model_endpoint_type: Name | None = None
    context_window: int | None = Field(None, ge=1, le=MAX_INT32)
    temperature: float | None = Field(None, ge=0, le=2, strict=False)
    max_tokens: int | None = Field(None, ge=1, le=MAX_INT32)
    parallel_tool_calls: bool | None = None
    response_format: Json | None = None
    enable_reasoner: bool | None = None
    reasoning_effort: Name | None = None
    max_reasoning_tokens: int | None = Field(None, ge=0, le=MAX_INT32)

    def model_handle(self) -> str | None:
        """The model it names, as `provider/model`."""
        if self.handle is None and self.model is not None and self.model_endpoint_type is not None:
            return f"{self.model_endpoint_type}/{self.model}"
        return self.handle


class CompactionBody(Input):
    """How a conversation is kept within its model's window; what is absent has its default."""

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] = (
        "sliding_window"
    )
    model: Handle | None = None
    model_settings: Json | None = None
    prompt: Str | None = None
    prompt_acknowledgement: bool = False
    clip_chars: int | None = Field(50_000, ge=1, le=MAX_INT32)
    sliding_window_percentage: float = Field(0.3, ge=0, le=1, strict=False)


class ResponseFormatBody(Input):
    """The form of a model's answers; a JSON schema goes with `json_schema`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    type: Literal["text", "json_object", "json_schema"]


class _AgentBody(Input):
    """What creating and changing an agent have in common. Deprecated fields are folded in."""

    model: Handle | None = None
    model_settings: Json | None = None
    llm_config: LlmConfigBody | None = None
    context_window_limit: int | None = Field(None, ge=1, le=MAX_INT32)
    max_tokens: int | None = Field(None, ge=1, le=MAX_INT32)
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormatBody | None = None
    reasoning: bool | None = None
    enable_reasoner: bool | None = None
    max_reasoning_tokens: int | None = Field(None, ge=0, le=MAX_INT32)
    embedding: Handle | None = None
    embedding_config: Json | None = None
    system: Str | None = None
    description: Str | None = None
    timezone: Timezone | None = None
    tags: list[Name] | None = None
    metadata: Json | None = None
    tool_ids: list[ToolId] | None = None
    tool_rules: list[ToolRuleBody] | None = None
    block_ids: list[BlockId] | None = None
    compaction_settings: CompactionBody | None = None
    enable_sleeptime: bool | None = None
    message_buffer_autoclear: bool | None = None
    max_files_open: int | None = Field(None, ge=0, le=MAX_INT32)
    per_file_view_window_char_limit: int | None = Field(None, ge=0, le=MAX_INT32)
    hidden: bool | None = None
    project_id: Str | None = None
    folder_ids: list[FolderId] | None = None
    source_ids: list[FolderId] | None = None
    identity_ids: list[IdentityId] | None = None
    secrets: dict[SecretName, SecretValue] | None = None
    tool_exec_environment_variables: dict[SecretName, SecretValue] | None = None


class AgentCreate(_AgentBody):
    """An agent to create."""

    name: Name | None = None
    agent_type: AgentType = DEFAULT_AGENT_TYPE
    memory_blocks: list[BlockCreate] | None = None
    tools: list[Name] | None = None
    include_base_tools: bool = True
    initial_message_sequence: list[FirstMessage] | None = None
    from_template: Str | None = None
    memory_variables: dict[str, Str] | None = None
    template: bool | None = None


class AgentUpdate(_AgentBody):
    """What to change of an agent; absent fields stay.

    Nulls stay too, but for `description` and `metadata`, which they clear.
    """

    name: Name | None = None
    message_ids: list[Str] | None = None
    last_run_completion: Annotated[datetime | None, Field(strict=False)] = None
    last_run_duration_ms: int | None = Field(None, ge=0)
    last_stop_reason: StopReason | None = None


class AgentRetrieveQuery(BaseModel):
    """All relations are always shown, whatever `include` names."""

    include: list[str] | None = None
    include_relationships: list[str] | None = None


class AgentListQuery(PageQuery):
    """Which agents to list."""

    before: AgentId | None = None
    after: AgentId | None = None
    order_by: Literal["created_at", "updated_at", "last_run_completion"] = "created_at"
    sort_by: Literal["created_at", "updated_at", "last_run_completion"] | None = None
    ascending: bool | None = None
    name: str | None = None
    query_text: str | None = None
    tags: list[str] | None = None
    match_all_tags: bool = False
    last_stop_reason: StopReason | None = None
    include: list[str] | None = None
    include_relationships: list[str] | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    identity_id: str | None = None
    identifier_keys: list[str] | None = None
    created_by_id: str | None = None

    def matches_nothing(self) -> bool:
        """Whether it asks for what no agent here has: a template."""
        return self.template_id is not None or self.base_template_id is not None


class LlmConfigState(BaseModel):
    """The deprecated description of a model."""

    model: str
    handle: str
    model_endpoint_type: str
    context_window: int
    display_name: str | None = None
    model_endpoint: str | None = None
    model_wrapper: str | None = None
    provider_name: str | None = None
    provider_category: str = "base"
    put_inner_thoughts_in_kwargs: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    enable_reasoner: bool = False
    reasoning_effort: str | None = None
    max_reasoning_tokens: int = 0
    effort: str | None = None
    frequency_penalty: float | None = None
    compatibility_type: str | None = None
    verbosity: str | None = None
    tier: str | None = None
    parallel_tool_calls: bool = False
    response_format: dict[str, Any] | None = None
    strict: bool = False
    return_logprobs: bool = False
    top_logprobs: int | None = None
    return_token_ids: bool = False
    tool_call_parser: str | None = None


class ToolState(BaseModel):
    """A tool as the API shows it."""

    id: str
    name: str
    description: str
    json_schema: dict[str, Any]
    tool_type: str
    source_type: str = "python"
    tags: list[str]
    source_code: str | None = None
    args_json_schema: dict[str, Any] | None = None
    return_char_limit: int
    pip_requirements: list[dict[str, Any]] | None = None
    npm_requirements: list[dict[str, Any]] | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool = True
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    metadata_: dict[str, Any] = {}
    project_id: str | None = None


class MemoryState(BaseModel):
    """The deprecated form of an agent's blocks."""

    agent_type: str
    blocks: list[BlockState]
    file_blocks: list[dict[str, Any]] = []
    git_enabled: bool = False
    prompt_template: str = ""


class AgentState(BaseModel):
    """An agent as the API shows it."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    name: str
    agent_type: AgentType
    system: str
    description: str | None
    metadata: dict[str, Any] | None
    tags: list[str]
    blocks: list[BlockState]
    memory: MemoryState
    tools: list[ToolState]
    tool_rules: list[dict[str, Any]]
    sources: list[dict[str, Any]] = []
    message_ids: list[str]
    model: str
    model_settings: dict[str, Any]
    llm_config: LlmConfigState
    embedding: str
    embedding_config: EmbeddingConfigState
    response_format: dict[str, Any] | None
    compaction_settings: dict[str, Any] | None
    enable_sleeptime: bool | None
    message_buffer_autoclear: bool
    timezone: str
    secrets: list[dict[str, Any]] = []
    tool_exec_environment_variables: list[dict[str, Any]] = []
    identities: list[dict[str, Any]] = []
    identity_ids: list[str] = []
    pending_approval: dict[str, Any] | None = None
    multi_agent_group: GroupState | None = None
    managed_group: GroupState | None = None
    last_run_completion: datetime | None
    last_run_duration_ms: int | None
    last_stop_reason: StopReason | None
    max_files_open: int
    per_file_view_window_char_limit: int
    hidden: bool | None
    project_id: str | None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    created_at: datetime
    updated_at: datetime
