"""Typed models of every table.

Text ids carry their prefix. Time is `timestamptz`. An agent's `version` grows with every change of
anything its context is made of; caches hold versions. Genomes are stored whole (a deterministic
tar), so the database alone can rebuild every image.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BigInteger,
    Boolean,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HASH_EMBEDDING_DIM = 256
"""Dimension of the built-in embedding `o/hash`."""

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Root of the models."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        list[str]: ARRAY(Text),
        bytes: LargeBinary,
    }


fence_epoch = Sequence("fence_epoch", metadata=Base.metadata)
"""One value per start of a bridge: the high half of its fencing tokens."""


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class Lineage(Base):
    """Agents that share one evolving genome. `key` is the first group of its agents' UUIDs."""

    __tablename__ = "lineages"

    name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[int] = mapped_column(BigInteger, unique=True)
    stable_variant: Mapped[str | None] = mapped_column(ForeignKey("variants.digest"))
    memory_agent_id: Mapped[str | None]
    """The lineage's own agent, whose archival memory holds its attempts."""
    created_at: Mapped[datetime] = _now()


class Variant(Base):
    """One genome, named by its digest (sha256 hex of the deterministic tar)."""

    __tablename__ = "variants"

    digest: Mapped[str] = mapped_column(primary_key=True)
    genome: Mapped[bytes]
    """Deterministic tar of the genome folder."""
    params: Mapped[dict[str, Any]]
    origin: Mapped[str]
    """`seed`, `operator` or `machine`: who made it."""
    size_bytes: Mapped[int]
    created_at: Mapped[datetime] = _now()


class LineageVariant(Base):
    """A variant's place in one lineage. `status`: candidate, stable, retired or rejected."""

    __tablename__ = "lineage_variants"

    lineage: Mapped[str] = mapped_column(ForeignKey("lineages.name"), primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("variants.digest"), primary_key=True)
    status: Mapped[str]
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()


class Image(Base):
    """The container image of a variant on one base."""

    __tablename__ = "images"

    variant: Mapped[str] = mapped_column(ForeignKey("variants.digest"), primary_key=True)
    base_id: Mapped[str] = mapped_column(primary_key=True)
    image_id: Mapped[str]
    build_s: Mapped[float]
    created_at: Mapped[datetime] = _now()


class Instance(Base):
    """A running copy of a variant.

    `status`: starting, ready, stopping, stopped or failed. `wanted` is the control plane's intent;
    rows outlive their containers so that leftovers can be told apart.
    """

    __tablename__ = "instances"

    id: Mapped[str] = mapped_column(primary_key=True)
    """12 hex digits: it is part of socket paths."""
    lineage: Mapped[str] = mapped_column(ForeignKey("lineages.name"))
    variant: Mapped[str] = mapped_column(ForeignKey("variants.digest"))
    role: Mapped[str]
    runtime: Mapped[str]
    handle: Mapped[str | None]
    """Container id, or pid and start time of a process."""
    status: Mapped[str]
    wanted: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    rollout_id: Mapped[str | None]
    limits: Mapped[dict[str, Any]]
    detail: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    ready_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "wanted", "lineage"),)


class Rollout(Base):
    """A variant's way through the gates. `state` is `rollout.machine`'s, as JSON-ready text.

    `intent` is what an operator asked for and the workflow has not carried out yet: `abort`,
    `pause`, `resume` or `approve`. The routes in force are derived from `canary_instance`,
    `shadow_instance`, `weight_permille` and `mirror_permille`; an abort clears them at once.
    """

    __tablename__ = "rollouts"

    id: Mapped[str] = mapped_column(primary_key=True)
    lineage: Mapped[str] = mapped_column(ForeignKey("lineages.name"))
    variant: Mapped[str] = mapped_column(ForeignKey("variants.digest"))
    baseline: Mapped[str] = mapped_column(ForeignKey("variants.digest"))
    policy: Mapped[dict[str, Any]]
    state: Mapped[str]
    gate: Mapped[str | None]
    reason: Mapped[str]
    message: Mapped[str]
    intent: Mapped[str | None]
    weight_permille: Mapped[int] = mapped_column(server_default=text("0"))
    mirror_permille: Mapped[int] = mapped_column(server_default=text("0"))
    canary_instance: Mapped[str | None]
    shadow_instance: Mapped[str | None]
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """The machine's own state beyond `state`, and accumulated statistics."""
    created_by: Mapped[str]
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "uq_rollouts_one_active_per_lineage",
            "lineage",
            unique=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
    )


class RolloutEvent(Base):
    """One transition of a rollout, with its reason and a sentence for the operator."""

    __tablename__ = "rollout_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    rollout_id: Mapped[str] = mapped_column(ForeignKey("rollouts.id"), index=True)
    at: Mapped[datetime] = _now()
    state: Mapped[str]
    gate: Mapped[str | None]
    reason: Mapped[str]
    message: Mapped[str]
    evidence: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))


class Attempt(Base):
    """One proposal. `outcome`: open, promoted, rejected, rolled_back, aborted or failed."""

    __tablename__ = "attempts"

    id: Mapped[str] = mapped_column(primary_key=True)
    lineage: Mapped[str] = mapped_column(ForeignKey("lineages.name"), index=True)
    parents: Mapped[list[str]]
    operator: Mapped[str]
    hypothesis: Mapped[str]
    predicted: Mapped[dict[str, Any]]
    risk: Mapped[str]
    diff: Mapped[str]
    variant: Mapped[str | None] = mapped_column(ForeignKey("variants.digest"))
    rollout_id: Mapped[str | None] = mapped_column(ForeignKey("rollouts.id"))
    outcome: Mapped[str]
    stopped_by: Mapped[str | None]
    measured: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    lesson: Mapped[str | None]
    passage_id: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    finished_at: Mapped[datetime | None]


class Agent(Base):
    """A stateful entity a client talks to. `config` holds API fields the platform only stores."""

    __tablename__ = "agents"

    id: Mapped[str] = mapped_column(primary_key=True)
    lineage: Mapped[str] = mapped_column(ForeignKey("lineages.name"))
    name: Mapped[str]
    agent_type: Mapped[str]
    system: Mapped[str]
    model: Mapped[str]
    model_settings: Mapped[dict[str, Any]]
    embedding: Mapped[str]
    description: Mapped[str | None]
    timezone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    tools: Mapped[list[str]]
    """Names of the built-in tools attached to it."""
    tool_rules: Mapped[list[dict[str, Any]]]
    tags: Mapped[list[str]]
    meta: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    config: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    last_run_at: Mapped[datetime | None]
    last_run_ms: Mapped[float | None] = mapped_column(Float)
    last_stop_reason: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()

    __table_args__ = (
        Index("ix_agents_created", "created_at", "id"),
        Index("ix_agents_tags", "tags", postgresql_using="gin"),
        Index(None, "name"),
        # Every turn updates its agent's row: with room on the page, without touching an index.
        {"postgresql_with": {"fillfactor": 50}},
    )


class Block(Base):
    """A memory block; may be shared by several agents. `version` grows with every edit."""

    __tablename__ = "blocks"

    id: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    value: Mapped[str]
    char_limit: Mapped[int]
    description: Mapped[str | None]
    read_only: Mapped[bool]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata")
    tags: Mapped[list[str]]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()

    __table_args__ = (Index(None, "label"), Index("ix_blocks_created", "created_at", "id"))


class AgentBlock(Base):
    """Which blocks an agent has, by label."""

    __tablename__ = "agent_blocks"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    label: Mapped[str] = mapped_column(primary_key=True)
    block_id: Mapped[str] = mapped_column(ForeignKey("blocks.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(Integer)


class Run(Base):
    """One turn that came to an end. `request_key` makes it happen once.

    `status`: completed, failed or cancelled.
    """

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
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
    created_at: Mapped[datetime] = _now()
    duration_us: Mapped[int] = mapped_column(BigInteger)

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
    stop_reason: Mapped[str]
    llm_us: Mapped[int] = mapped_column(BigInteger)
    tool_us: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = _now()


class Message(Base):
    """One message; `seq` orders an agent's history, `body` is `o_contracts`' `Message` as JSON."""

    __tablename__ = "messages"

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    id: Mapped[str]
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    run_id: Mapped[str | None]
    type: Mapped[str]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _now()

    __table_args__ = (
        UniqueConstraint("id"),
        Index("ix_messages_agent_seq", "agent_id", "seq"),
        Index("ix_messages_run", "run_id"),
    )


class JournalEntry(Base):
    """A paid or outside effect of a run that has not ended: an LLM reply or a tool's result.

    `kind` is `llm` or `tool`; `digest` names the request, so a different one is not answered by it.
    """

    __tablename__ = "journal"

    agent_id: Mapped[str] = mapped_column(primary_key=True)
    request_key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str]
    result: Mapped[bytes]
    created_at: Mapped[datetime] = _now()


class Passage(Base):
    """A text in an agent's archival memory. `embedding` is of the model `o/hash` for now."""

    __tablename__ = "passages"

    id: Mapped[str] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    text: Mapped[str]
    embedding: Mapped[Any] = mapped_column(Vector(HASH_EMBEDDING_DIM))
    words: Mapped[str] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english'::regconfig, text)", persisted=True), deferred=True
    )
    """What full-text search reads; stemming anew at every search took 20 µs a passage."""
    tags: Mapped[list[str]]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata")
    created_at: Mapped[datetime] = _now()

    __table_args__ = (
        Index("ix_passages_agent_created", "agent_id", "created_at"),
        Index("ix_passages_tags", "tags", postgresql_using="gin"),
        Index(
            "ix_passages_embedding",
            "embedding",
            postgresql_using="hnsw",
            postgresql_ops={"embedding": "vector_cosine_ops"},
        ),
    )


class ApiKey(Base):
    """An API key without the key: its id (`jti`), role, a name and the token's hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    token_sha256: Mapped[str]
    created_at: Mapped[datetime] = _now()
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
