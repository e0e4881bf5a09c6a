"""Archival memory: archives, who holds them, their passages, and the vectors of these.

A passage has a vector for each embedding model that its archive has or is moving to. Vectors of
every dimension share one table; an approximate index holds those of one dimension.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pgvector.sqlalchemy import HALFVEC, Vector
from sqlalchemy import Cast, ForeignKey, Index, cast
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now

LARGEST_INDEXED: Final = 4_000
"""Dimensions that an approximate index takes, in half precision; above, searches are exact."""
HNSW_OPTIONS: Final = {"m": 16, "ef_construction": 200}
"""Of every approximate index. With pgvector's own 64 candidates for a vector that joins, searches
of a million vectors about a thousand topics missed a twentieth of the nearest however long they
looked: those that had been tied to another topic. Building takes three times as long."""
INDEXED_DIMENSIONS: Final = (256, 384, 768, 1024, 1536, 3072)
"""Those indexed from the start; others get their index when an archive has them."""


class Archive(Base):
    """A collection of passages that agents can share.

    An agent's own archive has it as `owner_id` and goes with it; so has a folder's its folder as
    `folder_id`. Searches use the vectors of the
    model `embedding`; while `next_embedding` is set, a job makes those of that model, has done so
    up to the passage `embedded_up_to`, and then lets it take over. `is_untidy`: vectors of
    models that it has left are to be deleted.
    """

    __tablename__ = "archives"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    embedding: Mapped[str]
    dimensions: Mapped[int]
    next_embedding: Mapped[str | None]
    is_untidy: Mapped[bool] = mapped_column(server_default=sql_text("false"))
    embedded_up_to: Mapped[str] = mapped_column(server_default=sql_text("''"))
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=sql_text("'{}'::jsonb"))
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    folder_id: Mapped[str | None] = mapped_column(ForeignKey("folders.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (
        Index("ix_archives_created", "created_at", "id"),
        Index(None, "name"),
        Index("uq_archives_owner_id", "owner_id", unique=True),
        Index("uq_archives_folder_id", "folder_id", unique=True),
        Index(
            "ix_archives_next_embedding",
            "next_embedding",
            postgresql_where=sql_text("next_embedding IS NOT NULL"),
        ),
    )


class AgentArchive(Base):
    """Which archives an agent searches; it keeps new passages in the one attached first."""

    __tablename__ = "agent_archives"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    archive_id: Mapped[str] = mapped_column(
        ForeignKey("archives.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    attached_at: Mapped[datetime] = now()


class Passage(Base):
    """A text in an archive. `unembedded` means that a vector is missing: a job will make it."""

    __tablename__ = "passages"

    id: Mapped[str] = mapped_column(primary_key=True)
    archive_id: Mapped[str] = mapped_column(ForeignKey("archives.id", ondelete="CASCADE"))
    text: Mapped[str]
    """Sealed at rest."""
    words: Mapped[str] = mapped_column(TSVECTOR, deferred=True)
    """What full-text search reads: keyed marks of its stems (`db.marks`)."""
    tags: Mapped[list[str]]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata")
    unembedded: Mapped[bool] = mapped_column(server_default=sql_text("false"))
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        Index("ix_passages_archive_created", "archive_id", "created_at", "id"),
        Index("ix_passages_archive_id_id", "archive_id", "id"),
        Index("ix_passages_tags", "tags", postgresql_using="gin"),
        Index("ix_passages_words", "words", postgresql_using="gin"),
        Index("ix_passages_unembedded", "id", postgresql_where=sql_text("unembedded")),
    )


class PassageVector(Base):
    """A passage as one embedding model sees it.

    `archive_id`, `tags` and `created_at` are the passage's, which never change: what restricts a
    search must stand beside the vector, or an index scan would have to look it up elsewhere.
    """

    __tablename__ = "passage_vectors"

    passage_id: Mapped[str] = mapped_column(
        ForeignKey("passages.id", ondelete="CASCADE"), primary_key=True
    )
    model: Mapped[str] = mapped_column(primary_key=True)
    archive_id: Mapped[str]
    dimensions: Mapped[int]
    embedding: Mapped[Any] = mapped_column(Vector())
    tags: Mapped[list[str]]
    created_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_passage_vectors_archive_model", "archive_id", "model", "created_at"),
        Index("ix_passage_vectors_tags", "tags", postgresql_using="gin"),
    )


def indexed(dimensions: int) -> Cast[Any]:
    """What the approximate index of this dimension (at most `LARGEST_INDEXED`) holds."""
    return cast(PassageVector.embedding, HALFVEC(dimensions))


def index_name(dimensions: int) -> str:
    """Name of the approximate index of the vectors of this dimension."""
    return f"ix_passage_vectors_hnsw_{dimensions}"


def _index_of(dimensions: int) -> Index:
    return Index(
        index_name(dimensions),
        indexed(dimensions).label("nearness"),
        postgresql_using="hnsw",
        postgresql_ops={"nearness": "halfvec_cosine_ops"},
        postgresql_with=HNSW_OPTIONS,
        postgresql_where=sql_text(f"dimensions = {dimensions}"),
    )


for _dimensions in INDEXED_DIMENSIONS:
    _index_of(_dimensions)
