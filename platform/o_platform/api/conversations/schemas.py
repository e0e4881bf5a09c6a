"""Parameters, bodies and answers of conversations."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, cast

from pydantic import BaseModel, Field

from o_platform.agents.conversation_repository import ConversationFilter
from o_platform.agents.conversation_service import ConversationFields, ConversationView
from o_platform.api.fields import MAX_INT32, AgentId, ConversationId, Input, Json, PageQuery, Str


class ConversationBody(Input):
    """What can be set of a conversation; absent fields stay as they are."""

    summary: Str | None = None
    description: Str | None = None
    model: Str | None = None
    model_settings: Json | None = None
    context_window_limit: int | None = Field(None, ge=1, le=MAX_INT32)
    hidden: bool = False
    archived: bool | None = None

    def fields(self) -> ConversationFields:
        """What was sent."""
        sent = self.model_dump(include=self.model_fields_set - {"archived"})
        if self.archived is not None:
            sent["is_archived"] = self.archived
        return cast(ConversationFields, sent)


class ConversationListQuery(PageQuery):
    """Which conversations to list."""

    before: ConversationId | None = None
    after: ConversationId | None = None
    order_by: Literal["created_at", "last_message_at", "last_run_completion"] = "created_at"
    agent_id: AgentId | None = None
    summary_search: Str | None = None
    archive_status: Literal["unarchived", "archived", "all"] = "unarchived"

    def filter(self) -> ConversationFilter:
        """Which conversations to fetch."""
        return ConversationFilter(self.agent_id, self.summary_search, self.archive_status)

    def sort_key(self) -> str:
        """A conversation's last run ends when its last messages are stored."""
        return "created_at" if self.order_by == "created_at" else "last_message_at"


class ConversationState(BaseModel):
    """A conversation as the API shows it."""

    id: str
    agent_id: str
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime | None
    summary: str | None
    description: str | None
    model: str | None
    model_settings: dict[str, Any] | None
    context_window_limit: int | None
    in_context_message_ids: list[str]
    isolated_block_ids: list[str] = []
    archived: bool
    archived_at: datetime | None


def conversation_state(view: ConversationView) -> ConversationState:
    """The stored conversation as the API shows it."""
    stored = view.conversation
    return ConversationState(
        id=stored.id,
        agent_id=stored.agent_id,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
        last_message_at=stored.last_message_at,
        summary=stored.summary,
        description=stored.description,
        model=stored.model,
        model_settings=stored.model_settings,
        context_window_limit=stored.context_window_limit,
        in_context_message_ids=view.message_ids,
        archived=stored.archived_at is not None,
        archived_at=stored.archived_at,
    )
