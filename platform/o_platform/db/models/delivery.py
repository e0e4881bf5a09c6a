"""Lineages, variants, images, instances, rollouts and attempts.

Genomes are stored whole (a deterministic tar), so the database alone can rebuild every image.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Identity,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from o_platform.db.models.base import Base, now


class Lineage(Base):
    """Agents that share one evolving genome. `key` is the first group of its agents' UUIDs."""

    __tablename__ = "lineages"

    name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[int] = mapped_column(BigInteger, unique=True)
    stable_variant: Mapped[str | None] = mapped_column(ForeignKey("variants.digest"))
    memory_agent_id: Mapped[str | None]
    """The lineage's own agent, whose archival memory holds its attempts."""
    created_at: Mapped[datetime] = now()


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
    created_at: Mapped[datetime] = now()


class LineageVariant(Base):
    """A variant's place in one lineage. `status`: candidate, stable, retired or rejected."""

    __tablename__ = "lineage_variants"

    lineage: Mapped[str] = mapped_column(ForeignKey("lineages.name"), primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("variants.digest"), primary_key=True)
    status: Mapped[str]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class Image(Base):
    """The container image of a variant on one base."""

    __tablename__ = "images"

    variant: Mapped[str] = mapped_column(ForeignKey("variants.digest"), primary_key=True)
    base_id: Mapped[str] = mapped_column(primary_key=True)
    image_id: Mapped[str]
    build_s: Mapped[float]
    created_at: Mapped[datetime] = now()


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
    created_at: Mapped[datetime] = now()
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
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()
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
    at: Mapped[datetime] = now()
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
    created_at: Mapped[datetime] = now()
    finished_at: Mapped[datetime | None]
