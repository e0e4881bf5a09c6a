"""Properties of `decide` over random histories, and the ways that matter, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_platform.rollout.effects import (
    Compare,
    Ensure,
    Free,
    Mark,
    RetireBaseline,
    Route,
    Stable,
    effects_of,
)
from o_platform.rollout.machine import (
    Applied,
    Breach,
    Broken,
    Decision,
    GateFailed,
    GatePassed,
    GateUndecided,
    Look,
    Observation,
    Operator,
    decide,
    initial,
)
from o_platform.rollout.policy import DEFAULT, DEMO, RISKS
from o_platform.rollout.states import FINAL, LIVE, Gate, Hold, Intent, Phase, Reason, State

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)
BACKGROUND = (Gate.STATIC, Gate.BUILD, Gate.CONTRACT, Gate.LOAD)

gates = st.sampled_from(list(Gate))
texts = st.just("because")
observations: st.SearchStrategy[Observation] = st.one_of(
    st.builds(GatePassed, gates, texts, st.sampled_from([None, *RISKS])),
    st.builds(GateFailed, gates, st.sampled_from(list(Reason)), texts),
    st.builds(GateUndecided, gates, texts),
    st.builds(Look, st.booleans(), texts),
    st.builds(Breach, st.just(Reason.LATENCY), texts),
    st.builds(Operator, st.sampled_from(list(Intent)), texts),
    st.just(Applied()),
    st.builds(Broken, texts),
)
helpful: st.SearchStrategy[Observation] = st.one_of(
    st.builds(GatePassed, st.sampled_from(BACKGROUND), texts, st.sampled_from([None, *RISKS])),
    st.builds(Look, st.just(True), texts),
    st.builds(Operator, st.sampled_from([Intent.RESUME, Intent.APPROVE, Intent.PAUSE]), texts),
    st.just(Applied()),
)
history = st.lists(
    st.tuples(st.one_of(helpful, helpful, observations), st.floats(0, 5_000)), max_size=60
)
policies = st.sampled_from([DEFAULT, DEMO])


def play(state: State, steps: list[tuple[Observation, float]]) -> list[Decision]:
    now = state.entered_at
    made = []
    for observation, seconds in steps:
        now += timedelta(seconds=seconds)
        made.append(decide(state, observation, now))
        state = made[-1].state
    return made


def forward(policy=DEMO, until: Phase = Phase.PROMOTED, risk="prompts") -> State:
    """The state that a rollout without any trouble reaches."""
    state, now = initial(policy, START), START
    for _ in range(30):
        if state.phase is until:
            return state
        now += timedelta(seconds=200)
        if state.gate in BACKGROUND:
            observation: Observation = GatePassed(state.gate, "fine", risk)
        elif state.phase in {Phase.PENDING, Phase.PROMOTING}:
            observation = Applied()
        else:
            observation = Look(True, "fine")
        state = decide(state, observation, now).state
    raise AssertionError(f"never reached {until}, stuck in {state.phase}")


@given(policies, history)
def test_every_history_keeps_the_promises(policy, steps: list[tuple[Observation, float]]) -> None:
    state = initial(policy, START)
    for (observation, _), made in zip(steps, play(state, steps), strict=True):
        if state.final:
            assert made.state == state
        elif isinstance(observation, Breach):
            assert made.state.phase in {Phase.ROLLED_BACK, Phase.REJECTED}
        elif isinstance(observation, Operator) and observation.intent is Intent.ABORT:
            assert made.state.phase is Phase.ABORTED
        assert made.effects == effects_of(made.state)
        assert made.message
        state = made.state
        if state.final:
            assert state.weight_permille == 0
            assert state.hold is None
            assert not any(isinstance(e, Route) and e != Route(0, 0) for e in made.effects)


@given(policies, history)
def test_promotion_comes_only_through_every_gate(
    policy, steps: list[tuple[Observation, float]]
) -> None:
    start = initial(policy, START)
    seen = [start, *(made.state for made in play(start, steps))]
    if seen[-1].phase is Phase.PROMOTED:
        phases = {state.phase for state in seen}
        assert phases >= set(Phase) - FINAL - {Phase.AWAITING_APPROVAL}
        assert {s.step for s in seen if s.phase is Phase.CANARY} == {0, 1, 2}
        last = seen[-1]
        assert last.approved or last.risk not in last.plan.person_for


@given(policies, history)
def test_whatever_was_switched_is_switched_back(policy, steps) -> None:
    start = initial(policy, START)
    for made in play(start, steps):
        if made.state.switched and made.state.final and made.state.phase is not Phase.PROMOTED:
            assert made.effects.index(Stable("baseline")) < made.effects.index(Free(None))


@pytest.mark.parametrize("phase", [p for p in Phase if p not in FINAL])
@pytest.mark.parametrize("hold", [None, *Hold])
def test_abort_works_from_every_state(phase: Phase, hold: Hold | None) -> None:
    policy = DEFAULT if phase is Phase.AWAITING_APPROVAL else DEMO
    state = replace(forward(policy, phase, "tools"), hold=hold, held_since=START)
    made = decide(state, Operator(Intent.ABORT, "ann"), START)
    assert made.state.phase is Phase.ABORTED
    assert Free(None) in made.effects
    assert Mark("candidate") in made.effects
    assert "ann" in made.message


@given(policies, history)
def test_copies_for_comparison_run_only_between_switch_and_end(policy, steps) -> None:
    start = initial(policy, START)
    for made in play(start, steps):
        compares = [effect for effect in made.effects if isinstance(effect, Compare)]
        expected = {Phase.PROMOTING: [Compare(0)], Phase.WATCH: [Compare(_watch_share(policy))]}
        assert compares == expected.get(made.state.phase, [])
        if compares:
            assert Ensure("stable") in made.effects
            assert not any(isinstance(effect, Ensure) for effect in made.effects[1:])


def _watch_share(policy) -> int:
    return policy.watch.mirror_permille


def test_the_whole_way_without_trouble() -> None:
    done = forward()
    assert done.gate is Gate.WATCH
    assert effects_of(done) == (Stable("candidate"), Free("stable"), RetireBaseline())


@pytest.mark.parametrize("phase", sorted(LIVE))
def test_a_breach_rolls_back_even_while_paused(phase: Phase) -> None:
    policy = DEFAULT if phase is Phase.AWAITING_APPROVAL else DEMO
    state = forward(policy, phase, "tools")
    paused = decide(state, Operator(Intent.PAUSE, "ann"), START).state
    made = decide(paused, Breach(Reason.CRASHES, "3 crashes"), START)
    assert made.state.phase is Phase.ROLLED_BACK
    assert made.state.gate is state.gate
    assert Mark("rejected") in made.effects


def test_a_pause_holds_the_share_and_the_step() -> None:
    state = decide(forward(until=Phase.CANARY), Operator(Intent.PAUSE, "ann"), START).state
    made = decide(state, Look(True, "enough"), START + timedelta(minutes=1))
    assert (made.state.name, made.state.weight_permille) == ("paused", 100)
    resumed = decide(made.state, Operator(Intent.RESUME, "ann"), START).state
    assert decide(resumed, Look(True, "enough"), START).state.step == 1


def test_too_little_data_holds_and_neither_passes_nor_fails() -> None:
    state = forward(until=Phase.CANARY)
    late = state.entered_at + timedelta(seconds=DEMO.canary.max_wait_s + 1)
    assert decide(state, Look(False, "3 of 60"), state.entered_at).state == state
    held = decide(state, Look(False, "3 of 60"), late)
    assert held.reason is Reason.INSUFFICIENT_DATA
    assert (held.state.name, held.state.gate) == ("insufficient_data", Gate.CANARY)
    assert held.state.weight_permille == 100
    assert decide(held.state, Look(True, "60 of 60"), late).state.step == 1
    end = decide(held.state, Look(False, "4 of 60"), late + timedelta(seconds=DEMO.hold_timeout_s))
    assert (end.state.phase, end.reason) == (Phase.ABORTED, Reason.HOLD_TIMEOUT)


def test_an_undecided_load_test_holds_and_is_tried_again() -> None:
    state = forward(until=Phase.LOAD)
    held = decide(state, GateUndecided(Gate.LOAD, "too noisy"), START).state
    assert held.name == "insufficient_data"
    assert decide(held, GatePassed(Gate.LOAD, "fine"), START).state.phase is Phase.SHADOW


def test_risky_changes_wait_for_a_person() -> None:
    state = forward(DEFAULT, Phase.AWAITING_APPROVAL, "tools")
    assert state.weight_permille == 500
    assert decide(state, Look(True, "fine"), state.entered_at).state == state
    approved = decide(state, Operator(Intent.APPROVE, "ann"), state.entered_at).state
    assert decide(approved, Look(False, ""), state.entered_at).state.phase is Phase.PROMOTING
    late = state.entered_at + timedelta(days=8)
    assert decide(state, Look(True, "fine"), late).reason is Reason.APPROVAL_TIMEOUT


def test_an_unknown_risk_waits_for_a_person() -> None:
    assert forward(DEMO, Phase.AWAITING_APPROVAL, None).risk is None


def test_watching_lasts_at_least_its_time() -> None:
    state = forward(until=Phase.WATCH)
    assert decide(state, Look(True, "fine"), state.entered_at).state == state


def test_a_forgotten_pause_ends_the_rollout() -> None:
    state = decide(forward(until=Phase.BUILD), Operator(Intent.PAUSE, "ann"), START).state
    made = decide(state, Applied(), START + timedelta(seconds=DEMO.pause_timeout_s))
    assert (made.state.phase, made.reason) == (Phase.ABORTED, Reason.PAUSE_TIMEOUT)
