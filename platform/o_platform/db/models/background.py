"""Turns that go on without their client, and the events they have published.

A row of `background_runs` is there before the first event of its turn. Until the run has ended, it
holds what is needed to send the turn again; `runs` says how it ended.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class BackgroundRun(Base):
    """A background turn. `request_key` names its request, as in `runs`."""

    __tablename__ = "background_runs"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    conversation_id: Mapped[str | None]
    request_key: Mapped[str]
    request_id: Mapped[str]
    client: Mapped[str]
    body: Mapped[str | None]
    """The request's body, until the run has ended."""
    body_digest: Mapped[str]
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    next_try_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When to look whether somebody runs it."""
    created_at: Mapped[datetime] = now()
    ended_at: Mapped[datetime | None]
    failure: Mapped[dict[str, Any] | None]
    """`code` and `message`, when it failed."""
    callback_url: Mapped[str | None]
    callback_tries: Mapped[int] = mapped_column(server_default=text("0"))
    callback_sent_at: Mapped[datetime | None]
    callback_status_code: Mapped[int | None]
    callback_error: Mapped[str | None]

    __table_args__ = (
        Index(
            "uq_background_runs_request",
            "agent_id",
            "request_key",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_background_runs_due", "next_try_at", postgresql_where=text("ended_at IS NULL")),
        Index(
            "ix_background_runs_callback",
            "ended_at",
            postgresql_where=text("callback_url IS NOT NULL AND callback_sent_at IS NULL"),
        ),
        Index("ix_background_runs_agent_id", "agent_id", "created_at"),
        Index("ix_background_runs_ended_at", "ended_at"),
    )


class RunEvent(Base):
    """One event of a background turn, as JSON text; `seq` counts from 1."""

    __tablename__ = "run_events"

    run_id: Mapped[str] = mapped_column(
        ForeignKey("background_runs.run_id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[str]
