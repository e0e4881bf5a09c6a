"""Turns that agents run at set times."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Schedule(Base):
    """One turn to run, once or again and again. `next_at` is null once nothing is left to do.

    `rule` is the API's `schedule`, `turn` the body of the turn. `runs` counts those that ended, so
    it names the one that is due; `tries` counts its failures so far.
    """

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    rule: Mapped[dict[str, Any]]
    turn: Mapped[dict[str, Any]]
    next_at: Mapped[datetime | None]
    runs: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    last_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        Index("ix_schedules_agent_created", "agent_id", "created_at"),
        Index("ix_schedules_due", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    )
