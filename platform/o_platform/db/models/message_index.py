"""What recall searches: a row per message that says something, written off the path of turns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base


class IndexedMessage(Base):
    """A message as searches see it: marks of its words (`db.marks`), its vector by `model`.

    The rest is the message's: what restricts a search stands beside what is searched.
    """

    __tablename__ = "message_index"

    seq: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("messages.seq", ondelete="CASCADE"), primary_key=True
    )
    agent_id: Mapped[str]
    conversation_id: Mapped[str | None]
    type: Mapped[str]
    words: Mapped[str] = mapped_column(TSVECTOR)
    model: Mapped[str]
    embedding: Mapped[Any] = mapped_column(HALFVEC())
    created_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_message_index_agent_seq", "agent_id", "seq"),
        Index("ix_message_index_words", "words", postgresql_using="gin"),
    )
