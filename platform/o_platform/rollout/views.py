"""Rollouts as API, CLI and evolution see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from o_platform.db.models import Rollout, RolloutEvent
from o_platform.rollout.case import Case
from o_platform.rollout.policy import Risk


@dataclass(frozen=True, slots=True)
class RolloutView:
    """One rollout. Shares are permille of the lineage's agents; `evidence` is the last look's."""

    id: str
    lineage: str
    variant: str
    baseline: str
    policy: str
    """Name of its policy."""
    state: str
    """A phase of `states.Phase`, or `paused` or `insufficient_data`, then `phase` tells where."""
    phase: str
    step: int
    """Index of the canary's step, from 0."""
    steps: tuple[int, ...]
    """Shares of the canary's steps."""
    gate: str | None
    """Where it stands, or where it ended."""
    reason: str
    message: str
    risk: Risk | None
    approved: bool
    intent: str | None
    """What an operator asked for and is being carried out."""
    weight_permille: int
    mirror_permille: int
    evidence: dict[str, Any]
    created_by: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether it ended and everything it used is free."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class RolloutEventView:
    """One transition of a rollout, into `state`."""

    at: datetime
    state: str
    gate: str | None
    """The gate that decided it; `message` and `evidence` are about that one."""
    reason: str
    message: str
    evidence: dict[str, Any]


def rollout_view(row: Rollout) -> RolloutView:
    """The view of a row."""
    case = Case.of(row)
    return RolloutView(
        id=row.id,
        lineage=row.lineage,
        variant=row.variant,
        baseline=row.baseline,
        policy=case.policy.name,
        state=row.state,
        phase=case.state.phase.value,
        step=case.state.step,
        steps=case.state.plan.steps,
        gate=row.gate,
        reason=row.reason,
        message=row.message,
        risk=case.state.risk,
        approved=case.state.approved,
        intent=row.intent,
        weight_permille=row.weight_permille,
        mirror_permille=row.mirror_permille,
        evidence=case.numbers,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
    )


def event_view(row: RolloutEvent) -> RolloutEventView:
    """The view of an event's row."""
    return RolloutEventView(row.at, row.state, row.gate, row.reason, row.message, row.evidence)
