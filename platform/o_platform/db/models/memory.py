"""Archival memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    Computed,
    ForeignKey,
    Index,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now

HASH_EMBEDDING_DIM = 256
"""Dimension of the built-in embedding `o/hash`."""


class Passage(Base):
    """A text in an agent's archival memory. `embedding` is of the model `o/hash` for now."""

    __tablename__ = "passages"

    id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    text: Mapped[str]
    embedding: Mapped[Any] = mapped_column(Vector(HASH_EMBEDDING_DIM))
    words: Mapped[str] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english'::regconfig, text)", persisted=True), deferred=True
    )
    """What full-text search reads; stemming anew at every search took 20 µs a passage."""
    tags: Mapped[list[str]]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata")
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        Index("ix_passages_agent_created", "agent_id", "created_at"),
        Index("ix_passages_tags", "tags", postgresql_using="gin"),
        Index(
            "ix_passages_embedding",
            "embedding",
            postgresql_using="hnsw",
            postgresql_ops={"embedding": "vector_cosine_ops"},
        ),
    )
