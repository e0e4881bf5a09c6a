"""Agents whose memory another agent keeps in the background."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Group(Base):
    """An agent (`manager_id`) and the sleep-time companion that keeps its memory.

    The companion gets to work after every `frequency` turns of the manager; `turns` counts them. It
    was handed the manager's messages up to `last_seq`, by the run `last_run_id`, which began after
    `retry_seq`: where the next one begins should that run fail.
    """

    __tablename__ = "groups"

    id: Mapped[str] = mapped_column(primary_key=True)
    manager_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    companion_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    frequency: Mapped[int] = mapped_column(Integer)
    turns: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    moved_tools: Mapped[list[str]]
    """Tools that the manager had before, and gets back."""
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    retry_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_message_id: Mapped[str | None]
    last_run_id: Mapped[str | None]
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        Index("uq_groups_manager_id", "manager_id", unique=True),
        Index("uq_groups_companion_id", "companion_id", unique=True),
        Index("ix_groups_created", "created_at", "id"),
    )
