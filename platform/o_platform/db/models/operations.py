"""API keys, spending and events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Float,
    Identity,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class ApiKey(Base):
    """An API key without the key: its id (`jti`), role, a name and the token's hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    token_sha256: Mapped[str]
    created_at: Mapped[datetime] = now()
    revoked_at: Mapped[datetime | None]


class LlmUsage(Base):
    """Tokens and money a variant spent on one day, for its budget."""

    __tablename__ = "llm_usage"

    variant: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    calls: Mapped[int]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_usd: Mapped[float] = mapped_column(Float)


class Event(Base):
    """Something an operator wants to know of: a child's death, an out-of-memory kill, …."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    kind: Mapped[str]
    subject: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
