"""Runs, steps, messages, and what unfinished runs have paid for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    Sequence,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now

fence_epoch = Sequence("fence_epoch", metadata=Base.metadata)
"""One value per start of a bridge: the high half of its fencing tokens."""


class Run(Base):
    """One turn that came to an end. `request_key` makes it happen once.

    `status`: completed, failed or cancelled.
    """

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    conversation_id: Mapped[str | None]
    """None: the agent's default conversation."""
    background: Mapped[bool] = mapped_column(server_default=text("false"))
    request_key: Mapped[str]
    status: Mapped[str]
    stop_reason: Mapped[str]
    variant: Mapped[str]
    instance_id: Mapped[str]
    client: Mapped[str]
    body_digest: Mapped[str] = mapped_column(server_default=text("''"))
    """With `client`, names the request when an SDK's retry has no other name for it."""
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cached_input_tokens: Mapped[int]
    reasoning_tokens: Mapped[int]
    step_count: Mapped[int]
    created_at: Mapped[datetime] = now()
    duration_us: Mapped[int] = mapped_column(BigInteger)
    failure: Mapped[dict[str, Any] | None]
    """`code` and `message` of what it failed of."""

    __table_args__ = (
        UniqueConstraint("agent_id", "request_key"),
        Index("ix_runs_agent_created", "agent_id", "created_at"),
    )


class Step(Base):
    """One LLM call of a run."""

    __tablename__ = "steps"

    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    model: Mapped[str]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cached_input_tokens: Mapped[int | None]
    """Like `reasoning_tokens`, not known of steps from before there was the column."""
    reasoning_tokens: Mapped[int | None]
    stop_reason: Mapped[str]
    llm_us: Mapped[int] = mapped_column(BigInteger)
    tool_us: Mapped[int] = mapped_column(BigInteger)
    sandbox_us: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    feedback: Mapped[str | None]
    """positive or negative, as a client said."""
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    failure: Mapped[dict[str, Any] | None]
    """`code` and `message` if the call got no reply, and the run failed of that."""
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        Index(
            "ix_steps_feedback",
            "created_at",
            "id",
            postgresql_where=text("feedback IS NOT NULL"),
        ),
    )


class StepTrace(Base):
    """What a step sent to its provider and got back (`request`, `response`), while that is kept.

    Sealed at rest.
    """

    __tablename__ = "step_traces"

    step_id: Mapped[str] = mapped_column(
        ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True
    )
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()

    __table_args__ = (Index(None, "created_at"),)


class Message(Base):
    """One message; `seq` orders an agent's history, `body` is `o_contracts`' `Message` as JSON.

    `body` is sealed at rest: a JSON string. `tool` is the one that it calls first, or a return of.
    """

    __tablename__ = "messages"

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    id: Mapped[str]
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    conversation_id: Mapped[str | None]
    """None: the agent's default conversation. No foreign key: it would be checked for every row."""
    run_id: Mapped[str | None]
    type: Mapped[str]
    tool: Mapped[str | None]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        UniqueConstraint("id"),
        Index("ix_messages_agent_seq", "agent_id", "seq"),
        Index(
            "ix_messages_conversation_seq",
            "conversation_id",
            "seq",
            postgresql_where=text("conversation_id IS NOT NULL"),
        ),
        Index("ix_messages_run", "run_id"),
    )


class JournalEntry(Base):
    """A paid or outside effect of a run that has not ended: an LLM reply or a tool's result.

    `kind` is `llm` or `tool`; `digest` names the request, so a different one is not answered by it.
    """

    __tablename__ = "journal"

    agent_id: Mapped[str] = mapped_column(primary_key=True)
    """Or the id of the conversation."""
    request_key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str]
    result: Mapped[bytes]
    created_at: Mapped[datetime] = now()
