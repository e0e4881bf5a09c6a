"""The history of memory blocks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class BlockVersion(Base):
    """A block's text as of one version, who made it so and why.

    Written with the edit that made it; the text from before the first edit joins with that edit,
    so that a block which nobody edits has no rows. `restores` names the version that an undo
    brought back.
    """

    __tablename__ = "block_versions"

    block_id: Mapped[str] = mapped_column(
        ForeignKey("blocks.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    value: Mapped[str]
    who: Mapped[str] = mapped_column(server_default=text("''"))
    """An agent, or the name of the key that a client used; empty: before the first edit."""
    why: Mapped[str] = mapped_column(server_default=text("''"))
    run_id: Mapped[str | None]
    restores: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = now()
