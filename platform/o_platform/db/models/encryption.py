"""Which encryption keys the database has seen, and how far sealing anew has come."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class EncryptionKey(Base):
    """A key by its name, never the key. The newest one seals.

    `progress` says for each table up to which row everything is sealed with it, and how many rows
    that were; `sealed_at` is when the last one was.
    """

    __tablename__ = "encryption_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    progress: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = now()
    sealed_at: Mapped[datetime | None]
