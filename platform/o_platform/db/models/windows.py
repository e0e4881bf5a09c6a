"""Where the context windows of compacted threads begin."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Window(Base):
    """A thread whose beginning is shown as a summary: then come the messages from `start_seq` on.

    `thread_id` is a conversation's id, or its agent's for the default one. Nothing is deleted: what
    the summary stands for can still be searched and listed.
    """

    __tablename__ = "windows"

    thread_id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    summary_id: Mapped[str]
    start_seq: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = now()
