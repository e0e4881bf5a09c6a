"""`/v1/messages/search`: messages of all agents, or of one, by words and by meaning."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from o_contracts.messages import Message
from o_platform.agents.recall import Mode, Recalled, RecallQuery, query_vector, recall
from o_platform.api.deps import PlatformDep
from o_platform.api.fields import AgentId, ConversationId, Date, EndDate, Input, Str
from o_platform.api.passages.schemas import zoned
from o_platform.spans import just_after

router = APIRouter(prefix="/v1/messages", tags=["messages"])
MAX_FOUND = 100
FOUND_TYPES = ("user_message", "assistant_message", "reasoning_message", "system_message")
FoundType = Literal["user_message", "assistant_message", "reasoning_message", "system_message"]


class MessageSearch(Input):
    """What to find; `agent_id` and `conversation_id` restrict it, dates are both included."""

    query: Str
    agent_id: AgentId | None = None
    conversation_id: ConversationId | None = None
    search_mode: Mode = "hybrid"
    start_date: Date | None = None
    end_date: EndDate | None = None
    limit: int = Field(50, ge=1, le=MAX_FOUND)

    def wanted(self) -> RecallQuery:
        """What the service is to find."""
        return RecallQuery(
            self.query, self.limit, self.agent_id, self.conversation_id, FOUND_TYPES,
            zoned(self.start_date), just_after(zoned(self.end_date)), self.search_mode,
        )  # fmt: skip


class FoundMessage(BaseModel):
    """A message found; a reasoning message has `reasoning` instead of `content`."""

    message_type: FoundType
    message_id: str
    agent_id: str
    conversation_id: str | None
    created_at: datetime
    content: str | list[dict[str, Any]] | None = None
    reasoning: str | None = None


@router.post("/search", response_model=list[FoundMessage], response_model_exclude_unset=True)
async def search_messages(body: MessageSearch, platform: PlatformDep) -> list[FoundMessage]:
    """Search messages by words and by meaning, best first; the newest for a blank query."""
    model, wanted = platform.settings.message_embedding, body.wanted()
    vector = await query_vector(platform.embedders, model, wanted)
    async with platform.database.exchange() as exchange:
        return _shown(await recall(exchange, platform.database.vault, wanted, model, vector))


def _shown(found: Sequence[Recalled]) -> list[FoundMessage]:
    return [_found(hit) for hit in found]


def _found(hit: Recalled) -> FoundMessage:
    row = hit.row
    message = msgspec.convert(row.body, Message)
    says: dict[str, Any] = {"content": message.content or ""}
    if message.type == "reasoning_message":
        says = {"reasoning": message.text}
    elif message.type == "system_message":
        says = {"content": message.text}
    return FoundMessage.model_validate(
        {
            "message_type": row.type,
            "message_id": row.id,
            "agent_id": row.agent_id,
            "conversation_id": row.conversation_id,
            "created_at": row.created_at,
            **says,
        }  # fmt: skip
    )
