"""Conversations: threads of an agent beside its default one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Conversation(Base):
    """A thread of an agent: messages of its own, the agent's blocks, tools and prompt.

    `model` and `model_settings` override the agent's. `version` grows with every turn in it.
    """

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    summary: Mapped[str | None]
    description: Mapped[str | None]
    model: Mapped[str | None]
    model_settings: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    context_window_limit: Mapped[int | None]
    hidden: Mapped[bool] = mapped_column(server_default=text("false"))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    message_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """See `Agent.message_count`."""
    archived_at: Mapped[datetime | None]
    last_message_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (
        Index("ix_conversations_agent_created", "agent_id", "created_at", "id"),
        Index("ix_conversations_created", "created_at", "id"),
    )
