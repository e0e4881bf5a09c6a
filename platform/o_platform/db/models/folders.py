"""Folders of documents, who may read them, and which documents an agent has open.

What is searched of a folder are the passages of its archive (`archives.folder_id`), which are filed
under the id of their document.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Folder(Base):
    """A collection of documents that agents can share. `chunk_size` in characters."""

    __tablename__ = "folders"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    instructions: Mapped[str | None]
    chunk_size: Mapped[int] = mapped_column(Integer)
    meta: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (Index("ix_folders_created", "created_at", "id"),)


class File(Base):
    """A document. `status`: pending (to be cut up), embedding (it is, into passages), or error.

    `data` is the document as it came, until it has been read; `content` its text from then on. Both
    are sealed at rest.
    """

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    folder_id: Mapped[str] = mapped_column(ForeignKey("folders.id", ondelete="CASCADE"))
    name: Mapped[str]
    original_name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    error: Mapped[str | None]
    data: Mapped[bytes | None] = mapped_column(deferred=True)
    content: Mapped[str | None] = mapped_column(deferred=True)
    lines: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    chunks: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (
        UniqueConstraint("folder_id", "name"),
        Index("ix_files_folder_created", "folder_id", "created_at", "id"),
        Index("ix_files_pending", "created_at", postgresql_where=text("status = 'pending'")),
    )


class AgentFolder(Base):
    """Which folders an agent may read."""

    __tablename__ = "agent_folders"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    folder_id: Mapped[str] = mapped_column(
        ForeignKey("folders.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    attached_at: Mapped[datetime] = now()


class OpenFile(Base):
    """A document that an agent has open: its lines from `first_line` (0-based) to `last_line`.

    Without `last_line` (exclusive) as many as fit into the agent's window.
    """

    __tablename__ = "open_files"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    file_id: Mapped[str] = mapped_column(
        ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    first_line: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    last_line: Mapped[int | None] = mapped_column(Integer)
    opened_at: Mapped[datetime] = now()
