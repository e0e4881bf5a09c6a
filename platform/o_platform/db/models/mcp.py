"""MCP servers, and the tools that they said they have when they were asked last."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class McpServer(Base):
    """A server. `kind`: stdio, sse or streamable_http; `config` is how to reach it.

    `config` is sealed at rest: a JSON string.
    """

    __tablename__ = "mcp_servers"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    config: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (Index("ix_mcp_servers_created", "created_at", "id"),)


class McpTool(Base):
    """A tool of a server. Agents have its id among their `tools`: two servers may use one name."""

    __tablename__ = "mcp_tools"

    id: Mapped[str] = mapped_column(primary_key=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("mcp_servers.id", ondelete="CASCADE"))
    name: Mapped[str]
    description: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()

    __table_args__ = (UniqueConstraint("server_id", "name"),)
