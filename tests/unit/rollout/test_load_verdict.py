"""The load gate's verdict, on samples made up for it."""

from __future__ import annotations

import os

import numpy as np
import pytest

from o_platform.rollout.gates.load import LoadReport, LocustCounts, Sample, judge_load
from o_platform.rollout.gates.load_plan import LoadPlan
from o_platform.rollout.machine import GateFailed, GatePassed, GateUndecided
from o_platform.rollout.policy import LoadRules
from o_platform.rollout.states import Reason
from o_platform.stats.rates import Tally

pytestmark = pytest.mark.unit

RULES = LoadRules()


def sample(ratio: float = 1.0, count: int = 600, *, failures: int = 0, deaths: int = 0) -> Sample:
    rng = np.random.default_rng(int(ratio * 100) + count)
    return Sample(ratio * rng.lognormal(1.5, 0.3, count), Tally(count, failures), deaths)


def verdict(
    candidate: Sample, baseline: Sample | None = None, sent: int | None = None
) -> LoadReport:
    baseline = baseline or sample(count=601)
    counts = {"candidate": sent or candidate.tally.trials, "baseline": baseline.tally.trials}
    return judge_load(candidate, baseline, LocustCounts(counts, {}), RULES, max_deaths=2)


def test_equal_passes_and_reports_both_sides() -> None:
    report = verdict(sample())
    assert isinstance(report.verdict, GatePassed)
    assert report.numbers["candidate"]["p99_ms"] > report.numbers["baseline"]["p50_ms"] > 0
    assert report.numbers["p50_ratio"]["lower"] < 1 < report.numbers["p50_ratio"]["upper"]


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (sample(3.0), Reason.LATENCY),
        (sample(failures=40), Reason.ERRORS),
        (sample(failures=3, deaths=3), Reason.CRASHES),
    ],
)
def test_what_is_surely_worse_fails(candidate: Sample, reason: Reason) -> None:
    found = verdict(candidate).verdict
    assert isinstance(found, GateFailed)
    assert found.reason is reason


def test_a_slow_tail_fails_although_the_median_is_equal() -> None:
    base = sample(count=3000)
    tail = np.where(np.arange(3000) % 20 == 0, 200.0, base.latency_ms)
    found = verdict(Sample(tail, base.tally, 0), sample(count=3001)).verdict
    assert isinstance(found, GateFailed)
    assert "99th percentile" in found.message


@pytest.mark.parametrize(
    ("candidate", "baseline", "sent", "why"),
    [
        (sample(1.3), None, None, "cannot tell"),
        (sample(count=20), None, None, "20 requests"),
        (sample(), None, 900, "misses requests"),
        (sample(), sample(failures=60), None, "baseline failed 60"),
    ],
)
def test_what_cannot_be_told_is_undecided(
    candidate: Sample, baseline: Sample | None, sent: int | None, why: str
) -> None:
    found = verdict(candidate, baseline, sent).verdict
    assert isinstance(found, GateUndecided)
    assert why in found.message


def test_a_plan_reaches_its_process_whole() -> None:
    plan = LoadPlan.of(RULES, "/run/x.sock", "a" * 12, "b" * 12)
    assert LoadPlan.from_environment({**os.environ, **plan.environment()}) == plan
    sides = [plan.side_at(second * RULES.window_s + 0.1) for second in range(4)]
    assert sides == ["candidate", "baseline", "candidate", "baseline"]
