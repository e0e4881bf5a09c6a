"""Request and response schemas of turns, validated in instances, published in the OpenAPI document.

Unknown fields are tolerated (SDKs grow), wrong types are not. What the SDK can ask for and this
version of the platform does not do is refused, see `REFUSED_FIELDS`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""Largest request body of a turn (Envoy and the instance both answer 413 above)."""
MAX_MESSAGES: Final = 256
DEFAULT_MAX_STEPS: Final = 50
MAX_STEPS: Final = 200
MAX_CLIENT_TOOLS: Final = 128

REFUSED_FIELDS: Final = ("return_logprobs", "return_token_ids", "top_logprobs")
"""Fields that answer 501 when they ask for something: the models' tokens are not passed on."""

ContentPart = dict[str, Any]


class Answer(Struct, omit_defaults=True):
    """What a client says to one tool call that waits: approved, denied, or done by the client."""

    tool_call_id: str
    type: Literal["approval", "tool"] | None = None
    approve: bool | None = None
    reason: str | None = None
    tool_return: str | list[ContentPart] | None = None
    status: Literal["success", "error"] = "success"
    stdout: list[str] | None = None
    stderr: list[str] | None = None

    @property
    def is_return(self) -> bool:
        """Whether the client ran the tool itself."""
        return self.type == "tool" or (self.type is None and self.tool_return is not None)


class InputMessage(Struct, omit_defaults=True):
    """A message a client sends; which fields it needs depends on `type`.

    `message` (or none, as older SDKs leave it out): `content`. `approval`: `approvals`, or
    `approve` for all calls that wait. `tool_return`: `tool_returns`.
    """

    content: str | list[ContentPart] | None = None
    role: Literal["user", "system", "assistant"] = "user"
    type: Literal["message", "approval", "tool_return"] | None = None
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    approvals: list[Answer] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None
    tool_returns: list[Answer] | None = None

    @property
    def is_answer(self) -> bool:
        """Whether it answers tool calls that wait."""
        return self.type == "approval" or self.type == "tool_return"


class ClientTool(Struct, frozen=True, omit_defaults=True):
    """A tool that the client runs itself; `parameters` is a JSON schema."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ClientSkill(Struct, frozen=True, omit_defaults=True):
    """A skill that the client has; the model is told of it in the system prompt."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    description: str
    location: str


class CompactionRequest(Struct, omit_defaults=True):
    """Body of `POST /v1/agents/{id}/summarize` and `POST /v1/conversations/{id}/compact`."""

    compaction_settings: dict[str, Any] | None = None


class TurnRequest(Struct, omit_defaults=True):
    """Body of `POST /v1/agents/{id}/messages` and `…/messages/stream`."""

    messages: Annotated[list[InputMessage], Meta(min_length=1, max_length=MAX_MESSAGES)] | None = (
        None
    )
    input: str | list[ContentPart] | None = None
    max_steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] | None = DEFAULT_MAX_STEPS
    streaming: bool | None = None
    stream_tokens: bool | None = None
    include_pings: bool | None = True
    background: bool | None = None
    include_return_message_types: list[str] | None = None
    use_assistant_message: bool | None = True
    assistant_message_tool_name: str | None = "send_message"
    assistant_message_tool_kwarg: str | None = "message"
    override_model: str | None = None
    override_system: str | None = None
    client_tools: Annotated[list[ClientTool], Meta(max_length=MAX_CLIENT_TOOLS)] | None = None
    client_skills: Annotated[list[ClientSkill], Meta(max_length=MAX_CLIENT_TOOLS)] | None = None
    enable_thinking: str | bool | None = None
    include_compaction_messages: bool | None = None
    return_logprobs: bool | None = None
    return_token_ids: bool | None = None
    top_logprobs: int | None = None


def json_schemas() -> dict[str, Any]:
    """JSON schemas of the turn types by name, for the platform's OpenAPI document."""
    _, components = msgspec.json.schema_components(
        [TurnRequest, CompactionRequest], ref_template="#/components/schemas/{name}"
    )
    return dict(components)
