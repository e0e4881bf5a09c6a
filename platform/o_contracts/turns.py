"""Request and response schemas of turns, validated in instances, published in the OpenAPI document.

Unknown fields are tolerated (SDKs grow), wrong types are not. A field the SDK sends and this
version of the platform does not act on is listed in `UNUSED_FIELDS`, so that the documentation can
say so.
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

UNUSED_FIELDS: Final = (
    "client_skills",
    "client_tools",
    "enable_thinking",
    "include_compaction_messages",
    "return_logprobs",
    "return_token_ids",
    "top_logprobs",
)

ContentPart = dict[str, Any]


class InputMessage(Struct, omit_defaults=True):
    """A message a client sends. `type` may be absent, as older SDKs leave it out."""

    content: str | list[ContentPart]
    role: Literal["user", "system", "assistant"] = "user"
    type: Literal["message"] | None = None
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None


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


def json_schemas() -> dict[str, Any]:
    """JSON schemas of the turn types by name, for the platform's OpenAPI document."""
    _, components = msgspec.json.schema_components(
        [TurnRequest], ref_template="#/components/schemas/{name}"
    )
    return dict(components)
