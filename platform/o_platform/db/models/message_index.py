"""What recall searches: a row per message that says something, written off the path of turns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    Cast,
    ColumnElement,
    ForeignKey,
    Index,
    cast,
    func,
    literal_column,
)
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base
from o_platform.db.models.memory import HNSW_OPTIONS, INDEXED_DIMENSIONS


class IndexedMessage(Base):
    """A message as searches see it: marks of its words (`db.marks`), its vector by `model`.

    The rest is the message's: what restricts a search stands beside what is searched. `is_long`
    puts the vector into the approximate index (`LongHistory`).
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
    is_long: Mapped[bool] = mapped_column(server_default=sql_text("false"))

    __table_args__ = (
        Index("ix_message_index_agent_seq", "agent_id", "seq"),
        Index("ix_message_index_words", "words", postgresql_using="gin"),
    )


class LongHistory(Base):
    """An agent with so many messages that their vectors have an approximate index.

    A job adds its messages from before, which it has done up to `added_up_to`; new ones join with
    their vector. The index is of use once it `is_complete`.
    """

    __tablename__ = "long_histories"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    added_up_to: Mapped[int] = mapped_column(BigInteger, server_default=sql_text("0"))
    is_complete: Mapped[bool] = mapped_column(server_default=sql_text("false"))


def approximate(dimensions: int) -> Cast[Any]:
    """What the approximate index of this dimension holds."""
    return cast(IndexedMessage.embedding, HALFVEC(dimensions))


def in_approximate_index(dimensions: int) -> ColumnElement[bool]:
    """Which messages that index holds."""
    counted = func.vector_dims(IndexedMessage.embedding)
    return IndexedMessage.is_long & (counted == literal_column(str(dimensions)))


for _dimensions in INDEXED_DIMENSIONS:
    Index(
        f"ix_message_index_hnsw_{_dimensions}",
        approximate(_dimensions).label("nearness"),
        postgresql_using="hnsw",
        postgresql_ops={"nearness": "halfvec_cosine_ops"},
        postgresql_with=HNSW_OPTIONS,
        postgresql_where=sql_text(f"is_long AND vector_dims(embedding) = {_dimensions}"),
    )
