"""The rollout's state machine: `decide(state, observation, now) -> Decision`, pure and total.

```
pending → static → build → contract → load → shadow → canary (step by step) → promoting
        → watch → promoted                              └→ awaiting_approval ┘
```
From every state that is not final: an operator's abort → `aborted`; a breach → `rolled_back` (or
`rejected` while no live traffic was involved); the platform's own failure → `failed`. `paused` and
`insufficient_data` hold a state where it is: live traffic keeps its shares and is still judged, so
a breach ends a held rollout too. Insufficient data is never a pass and never a fail.

Effects describe what must be true in a state, not what to do next: applying them again changes
nothing, so a controller that crashed applies those of the stored state and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

from o_platform.rollout.effects import Effect, effects_of
from o_platform.rollout.policy import Policy, Risk
from o_platform.rollout.states import LIVE, Gate, Hold, Intent, Phase, Plan, Reason, State

_ORDER: Final = (
    Phase.PENDING,
    Phase.STATIC,
    Phase.BUILD,
    Phase.CONTRACT,
    Phase.LOAD,
    Phase.SHADOW,
    Phase.CANARY,
)


@dataclass(frozen=True, slots=True)
class GatePassed:
    """A gate found nothing wrong. The static gate tells the change's risk class, too."""

    gate: Gate
    message: str
    risk: Risk | None = None


@dataclass(frozen=True, slots=True)
class GateFailed:
    """A gate that no live traffic reaches found something wrong."""

    gate: Gate
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class GateUndecided:
    """A gate could not tell."""

    gate: Gate
    message: str


@dataclass(frozen=True, slots=True)
class Look:
    """Live traffic was judged and nothing is wrong; `enough` says the data suffice to go on."""

    enough: bool
    message: str


@dataclass(frozen=True, slots=True)
class Breach:
    """Live traffic, or the instance itself, is beyond a limit."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody asked for something."""

    intent: Intent
    by: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The state's effects are in force."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The platform itself cannot go on with this rollout."""

    message: str


Observation: TypeAlias = (
    GatePassed | GateFailed | GateUndecided | Look | Breach | Operator | Applied | Broken
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state, what must be true in it, why, and one sentence for an operator."""

    state: State
    effects: tuple[Effect, ...]
    reason: Reason
    message: str


def initial(policy: Policy, now: datetime) -> State:
    """The state of a rollout that was just created."""
    return State(Plan.of(policy), Phase.PENDING, now)


def decide(state: State, observation: Observation, now: datetime) -> Decision:
    """The next state after one observation.

    Args:
        state: the present one; a final one stays whatever is observed.
        observation: what was seen; one that does not concern the present state changes nothing.
        now: the moment of the decision, timezone-aware.
    """
    if state.final:
        return _stay(state, "the rollout has ended")
    match observation:
        case Operator():
            return _obey(state, observation, now)
        case Breach(reason, message):
            end = Phase.ROLLED_BACK if state.phase in LIVE else Phase.REJECTED
            return _end(state, end, reason, message, now)
        case GatePassed() | GateFailed() | GateUndecided():
            return _gated(state, observation, now)
        case Look():
            return _looked(state, observation, now)
        case Applied():
            return _applied(state, now)
        case Broken(message):
            return _end(state, Phase.FAILED, Reason.PLATFORM_FAILED, message, now)
        case _:
            assert_never(observation)


def _gated(
    state: State, result: GatePassed | GateFailed | GateUndecided, now: datetime
) -> Decision:
    if result.gate is not state.gate:
        return _stay(state, f"a late result of {result.gate} was not needed")
    match result:
        case GateFailed(_, reason, message):
            return _end(state, Phase.REJECTED, reason, message, now)
        case GatePassed(_, message, risk):
            known = replace(state, risk=risk or state.risk)
            return _advance(known, Reason.GATE_PASSED, message, now)
        case GateUndecided(_, message):
            return _lacking(state, message, now)
        case _:
            assert_never(result)


def _made(state: State, reason: Reason, message: str) -> Decision:
    return Decision(state, effects_of(state), reason, message)


def _stay(state: State, message: str) -> Decision:
    return _made(state, Reason.CONTINUES, message)


def _end(state: State, phase: Phase, reason: Reason, message: str, now: datetime) -> Decision:
    ended = replace(
        state, phase=phase, entered_at=now, hold=None, held_since=None, ended_at_gate=state.gate
    )
    return _made(ended, reason, message)


def _obey(state: State, order: Operator, now: datetime) -> Decision:
    match order.intent:
        case Intent.ABORT:
            said = f"aborted by {order.by}; nothing of the variant is served any more"
            return _end(state, Phase.ABORTED, Reason.ABORTED_BY_OPERATOR, said, now)
        case Intent.PAUSE:
            paused = replace(state, hold=Hold.PAUSED, held_since=now)
            said = f"paused by {order.by}; shares stay as they are and are still judged"
            return _made(paused, Reason.PAUSED, said)
        case Intent.RESUME:
            resumed = replace(state, hold=None, held_since=None, entered_at=now)
            return _made(resumed, Reason.RESUMED, f"resumed by {order.by}")
        case Intent.APPROVE:
            approved = replace(state, approved=True)
            return _made(approved, Reason.APPROVED, f"promotion approved by {order.by}")
        case _:
            assert_never(order.intent)


def _looked(state: State, look: Look, now: datetime) -> Decision:
    if state.hold is Hold.PAUSED or state.phase not in LIVE:
        return _expired(state, now) or _stay(state, look.message)
    if state.phase is Phase.AWAITING_APPROVAL:
        if state.approved:
            return _advance(state, Reason.APPROVED, "approved; promoting", now)
        return _expired(state, now) or _stay(state, look.message)
    if look.enough and _watched_long_enough(state, now):
        return _advance(state, Reason.STEP_PASSED, look.message, now)
    return _lacking(state, look.message, now)


def _watched_long_enough(state: State, now: datetime) -> bool:
    least = timedelta(seconds=state.plan.watch_min_s)
    return state.phase is not Phase.WATCH or now - state.entered_at >= least


def _lacking(state: State, message: str, now: datetime) -> Decision:
    """Wait for more data; hold once the phase's own waiting time is over."""
    if expired := _expired(state, now):
        return expired
    wait_s = state.plan.wait_s(state.phase)
    waiting = wait_s is not None and now - state.entered_at < timedelta(seconds=wait_s)
    if waiting or state.hold is not None:
        return _stay(state, message)
    held = replace(state, hold=Hold.INSUFFICIENT_DATA, held_since=now)
    return _made(held, Reason.INSUFFICIENT_DATA, f"holding with insufficient data: {message}")


def _applied(state: State, now: datetime) -> Decision:
    if state.phase is Phase.PENDING and state.hold is None:
        return _advance(state, Reason.STARTED, "started", now)
    if state.phase is Phase.PROMOTING:
        said = "the variant is stable now; the former one is kept at hand"
        return _advance(state, Reason.SWITCHED, said, now)
    return _expired(state, now) or _stay(state, "nothing new")


def _advance(state: State, reason: Reason, message: str, now: datetime) -> Decision:
    phase, step = _next(state)
    moved = replace(
        state,
        phase=phase,
        step=step,
        entered_at=now,
        switched=state.switched or phase is Phase.PROMOTING,
        hold=state.hold if state.hold is Hold.PAUSED else None,
        held_since=state.held_since if state.hold is Hold.PAUSED else None,
    )
    if phase is Phase.AWAITING_APPROVAL:
        said = f"{message}; a change of risk class `{state.risk}` waits for `approve`"
        return _made(moved, Reason.APPROVAL_NEEDED, said)
    if phase is Phase.PROMOTED:
        ended = replace(moved, hold=None, held_since=None, ended_at_gate=Gate.WATCH)
        return _made(ended, Reason.PROMOTED, message)
    return _made(moved, reason, message)


def _next(state: State) -> tuple[Phase, int]:
    if state.phase in _ORDER[:-1]:
        return _ORDER[_ORDER.index(state.phase) + 1], 0
    if state.phase is Phase.CANARY and state.step + 1 < len(state.plan.steps):
        return Phase.CANARY, state.step + 1
    if state.phase is Phase.CANARY and not _may_promote(state):
        return Phase.AWAITING_APPROVAL, state.step
    if state.phase in {Phase.CANARY, Phase.AWAITING_APPROVAL}:
        return Phase.PROMOTING, state.step
    if state.phase is Phase.PROMOTING:
        return Phase.WATCH, state.step
    return Phase.PROMOTED, state.step


def _may_promote(state: State) -> bool:
    return state.approved or (state.risk is not None and state.risk not in state.plan.person_for)


def _expired(state: State, now: datetime) -> Decision | None:
    """The end of a rollout that was held, or waited for approval, for too long."""
    plan = state.plan
    if state.hold is not None and state.held_since is not None:
        paused = state.hold is Hold.PAUSED
        limit_s = plan.pause_timeout_s if paused else plan.hold_timeout_s
        reason = Reason.PAUSE_TIMEOUT if paused else Reason.HOLD_TIMEOUT
        since, what = state.held_since, state.hold.value.replace("_", " ")
    elif state.phase is Phase.AWAITING_APPROVAL:
        limit_s, reason = plan.approval_timeout_s, Reason.APPROVAL_TIMEOUT
        since, what = state.entered_at, "awaiting approval"
    else:
        return None
    if now - since < timedelta(seconds=limit_s):
        return None
    said = f"{what} for {limit_s:g} s, the policy's limit; the baseline stays"
    return _end(state, Phase.ABORTED, reason, said, now)
