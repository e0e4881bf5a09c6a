"""The words of the rollout's state machine: phases, holds, reasons, and the state itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from o_platform.rollout.policy import RISKS, Policy, Risk


class Phase(StrEnum):
    """Where a rollout stands."""

    PENDING = "pending"
    STATIC = "static"
    BUILD = "build"
    CONTRACT = "contract"
    LOAD = "load"
    SHADOW = "shadow"
    CANARY = "canary"
    AWAITING_APPROVAL = "awaiting_approval"
    PROMOTING = "promoting"
    WATCH = "watch"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    FAILED = "failed"


class Hold(StrEnum):
    """Why a rollout stays where it is although nothing is wrong."""

    PAUSED = "paused"
    INSUFFICIENT_DATA = "insufficient_data"


class Gate(StrEnum):
    """One check of a rollout."""

    STATIC = "static"
    BUILD = "build"
    CONTRACT = "contract"
    LOAD = "load"
    SHADOW = "shadow"
    CANARY = "canary"
    WATCH = "watch"


class Intent(StrEnum):
    """What an operator may ask of a rollout."""

    ABORT = "abort"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"


class Reason(StrEnum):
    """Why a transition happened; stable names for programs, the message is for people."""

    CREATED = "created"
    CONTINUES = "continues"
    STARTED = "started"
    GATE_PASSED = "gate_passed"
    STEP_PASSED = "step_passed"
    INSUFFICIENT_DATA = "insufficient_data"
    ENOUGH_DATA = "enough_data"
    APPROVAL_NEEDED = "approval_needed"
    APPROVED = "approved"
    PAUSED = "paused"
    RESUMED = "resumed"
    SWITCHED = "switched"
    PROMOTED = "promoted"
    STATIC_FINDINGS = "static_findings"
    BUILD_FAILED = "build_failed"
    CONTRACT_BROKEN = "contract_broken"
    NOT_READY = "not_ready"
    LATENCY = "latency"
    ERRORS = "errors"
    CRASHES = "crashes"
    MEMORY = "memory"
    OUT_OF_MEMORY = "out_of_memory"
    SAMPLE_RATIO = "sample_ratio"
    ABORTED_BY_OPERATOR = "aborted_by_operator"
    PAUSE_TIMEOUT = "pause_timeout"
    HOLD_TIMEOUT = "hold_timeout"
    APPROVAL_TIMEOUT = "approval_timeout"
    PLATFORM_FAILED = "platform_failed"


FINAL: Final = frozenset(
    {Phase.PROMOTED, Phase.REJECTED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.FAILED}
)
LIVE: Final = frozenset(
    {Phase.SHADOW, Phase.CANARY, Phase.AWAITING_APPROVAL, Phase.PROMOTING, Phase.WATCH}
)
"""Phases in which live traffic, or a copy of it, reaches the candidate."""
_GATES: Final = {
    Phase.STATIC: Gate.STATIC,
    Phase.BUILD: Gate.BUILD,
    Phase.CONTRACT: Gate.CONTRACT,
    Phase.LOAD: Gate.LOAD,
    Phase.SHADOW: Gate.SHADOW,
    Phase.CANARY: Gate.CANARY,
    Phase.AWAITING_APPROVAL: Gate.CANARY,
    Phase.PROMOTING: Gate.CANARY,
    Phase.WATCH: Gate.WATCH,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a policy the machine itself needs; durations in seconds, shares in permille."""

    steps: tuple[int, ...]
    mirror_permille: int
    watch_mirror_permille: int
    person_for: frozenset[Risk]
    shadow_wait_s: float
    canary_wait_s: float
    watch_wait_s: float
    watch_min_s: float
    pause_timeout_s: float
    hold_timeout_s: float
    approval_timeout_s: float

    @classmethod
    def of(cls, policy: Policy) -> Plan:
        """The plan of a policy."""
        return cls(
            steps=policy.canary.steps,
            mirror_permille=policy.shadow.mirror_permille,
            watch_mirror_permille=policy.watch.mirror_permille,
            person_for=frozenset(risk for risk in RISKS if policy.needs_person(risk)),
            shadow_wait_s=policy.shadow.max_wait_s,
            canary_wait_s=policy.canary.max_wait_s,
            watch_wait_s=policy.watch.max_wait_s,
            watch_min_s=policy.watch.min_seconds,
            pause_timeout_s=policy.pause_timeout_s,
            hold_timeout_s=policy.hold_timeout_s,
            approval_timeout_s=policy.approval_timeout_s,
        )

    def wait_s(self, phase: Phase) -> float | None:
        """How long a phase waits for data before it holds; None where it does not wait for any."""
        waits = {
            Phase.SHADOW: self.shadow_wait_s,
            Phase.CANARY: self.canary_wait_s,
            Phase.WATCH: self.watch_wait_s,
        }
        return waits.get(phase)


@dataclass(frozen=True, slots=True)
class State:
    """Everything a rollout remembers between two decisions."""

    plan: Plan
    phase: Phase
    entered_at: datetime
    """When the phase, or the canary step, began."""
    step: int = 0
    """Index into `plan.steps` while in the canary."""
    hold: Hold | None = None
    held_since: datetime | None = None
    risk: Risk | None = None
    approved: bool = False
    switched: bool = False
    """The candidate may already be the lineage's stable variant."""
    ended_at_gate: Gate | None = None

    @property
    def final(self) -> bool:
        """Whether nothing can happen any more."""
        return self.phase in FINAL

    @property
    def gate(self) -> Gate | None:
        """The gate it stands at, or ended at."""
        return self.ended_at_gate if self.final else _GATES.get(self.phase)

    @property
    def name(self) -> str:
        """The state as operators see it: a hold hides the phase, which `gate` still tells."""
        return (self.hold or self.phase).value

    @property
    def weight_permille(self) -> int:
        """The candidate's share of the lineage's agents as a canary."""
        if self.phase is Phase.CANARY:
            return self.plan.steps[self.step]
        if self.phase in {Phase.AWAITING_APPROVAL, Phase.PROMOTING}:
            return self.plan.steps[-1]
        return 0
