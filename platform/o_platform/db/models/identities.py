"""Who an agent is for: users and organisations of the client's own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Identity(Base):
    """A user or organisation, named by the client's own key. `identity_type`: org, user, other.

    Which agents have it is in `agents.identity_ids`.
    """

    __tablename__ = "identities"

    id: Mapped[str] = mapped_column(primary_key=True)
    identifier_key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    identity_type: Mapped[str]
    properties: Mapped[list[dict[str, Any]]]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()

    __table_args__ = (Index("ix_identities_created", "created_at", "id"),)
