"""Tools that were added over the API; built-in ones are code and have no row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Tool(Base):
    """A tool with its source. Agents name it in `agents.tools`.

    `source_code` is text, or a `.wasm` binary in base64, as `language` says.
    `code` is the source with what makes objects of JSON arguments, `entry` the function of it to
    call; both are derived from `source_code` when that changes.
    """

    __tablename__ = "tools"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str]
    source_code: Mapped[str]
    code: Mapped[str]
    entry: Mapped[str]
    json_schema: Mapped[dict[str, Any]]
    args_json_schema: Mapped[dict[str, Any] | None]
    tags: Mapped[list[str]]
    tier: Mapped[str]
    language: Mapped[str] = mapped_column(server_default=text("'python'"))
    grants: Mapped[list[str]]
    return_char_limit: Mapped[int] = mapped_column(Integer)
    default_requires_approval: Mapped[bool | None]
    enable_parallel_execution: Mapped[bool]
    pip_requirements: Mapped[list[dict[str, Any]] | None]
    npm_requirements: Mapped[list[dict[str, Any]] | None]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata")
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (Index("ix_tools_created", "created_at", "id"),)


class AgentSecret(Base):
    """A value that an agent's tools may send (`secrets.use:NAME`) and never see."""

    __tablename__ = "agent_secrets"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
