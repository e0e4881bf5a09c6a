"""Agents and their memory blocks.

An agent's `version` grows with every change of anything its context is made of; caches hold
versions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Agent(Base):
    """A stateful entity a client talks to. `config` holds API fields the platform only stores."""

    __tablename__ = "agents"

    id: Mapped[str] = mapped_column(primary_key=True)
    lineage: Mapped[str] = mapped_column(ForeignKey("lineages.name"))
    name: Mapped[str]
    agent_type: Mapped[str]
    system: Mapped[str]
    model: Mapped[str]
    model_settings: Mapped[dict[str, Any]]
    embedding: Mapped[str]
    description: Mapped[str | None]
    timezone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    tools: Mapped[list[str]]
    """Names of the built-in tools attached to it."""
    tool_rules: Mapped[list[dict[str, Any]]]
    tags: Mapped[list[str]]
    identity_ids: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    meta: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    config: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    message_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Messages of its default conversation, which whoever writes or deletes some keeps right: to
    count them takes the longer the longer a history is."""
    last_run_at: Mapped[datetime | None]
    last_run_ms: Mapped[float | None] = mapped_column(Float)
    last_stop_reason: Mapped[str | None]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (
        Index("ix_agents_created", "created_at", "id"),
        Index("ix_agents_tags", "tags", postgresql_using="gin"),
        Index("ix_agents_identity_ids", "identity_ids", postgresql_using="gin"),
        Index(None, "name"),
        # Every turn updates its agent's row: with room on the page, without touching an index.
        {"postgresql_with": {"fillfactor": 50}},
    )


class Block(Base):
    """A memory block; may be shared by several agents. `version` grows with every edit."""

    __tablename__ = "blocks"

    id: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    value: Mapped[str]
    """Sealed at rest."""
    char_limit: Mapped[int]
    description: Mapped[str | None]
    read_only: Mapped[bool]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata")
    tags: Mapped[list[str]]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (
        Index(None, "label"),
        Index("ix_blocks_created", "created_at", "id"),
        # An edit finds room on the page, and touches no index.
        {"postgresql_with": {"fillfactor": 80}},
    )


class AgentBlock(Base):
    """Which blocks an agent has, by label."""

    __tablename__ = "agent_blocks"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    label: Mapped[str] = mapped_column(primary_key=True)
    block_id: Mapped[str] = mapped_column(ForeignKey("blocks.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(Integer)
