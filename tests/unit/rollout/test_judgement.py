"""Evidence and its judgement, on streams of attempts like those of a live canary."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from o_platform.rollout.evidence import Evidence
from o_platform.rollout.judgement import judge
from o_platform.rollout.machine import Breach, Look
from o_platform.rollout.observations import LogMark, ObservationHub
from o_platform.rollout.policy import DEFAULT, DEMO, Policy
from o_platform.rollout.states import Reason

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CANARY, STABLE = {"c"}, {"s"}


@dataclass(frozen=True)
class FakeAttempt:
    instance_id: str
    bucket: int
    duration_us: int | None = 5_000
    status: int = 200
    at: datetime = NOW
    cancelled: bool = False

    @property
    def routing_key(self) -> str:
        return f"00000001-{self.bucket:04x}"


def traffic(
    seed: int,
    count: int,
    *,
    ratio: float = 1.0,
    share: float = 0.25,
    fails: float = 0.0,
    stable_fails: float = 0.0,
) -> list[FakeAttempt]:
    rng = np.random.default_rng(seed)
    buckets = rng.integers(0, 65536, 400)
    level = rng.normal(8.5, 0.2, 400)
    agents = rng.integers(0, 400, count)
    durations = np.exp(level[agents] + rng.gamma(1.5, 0.25, count))
    chance = rng.random(count)
    attempts = []
    for agent, duration, luck in zip(agents, durations, chance, strict=True):
        ours = bool(buckets[agent] < share * 65536)
        status = 500 if luck < (fails if ours else stable_fails) else 200
        took = int(duration * (ratio if ours else 1.0))
        attempts.append(FakeAttempt("c" if ours else "s", int(buckets[agent]), took, status))
    return attempts


def look(
    attempts: Sequence[FakeAttempt], policy: Policy = DEFAULT, weight: int = 250
) -> Look | Breach:
    """The verdict when it is looked at every 40 attempts: the first breach, else the last look."""
    evidence = Evidence("canary:1", NOW)
    verdict: Look | Breach = Look(False, "")
    for start in range(0, len(attempts), 40):
        evidence.take(attempts[start : start + 40], CANARY, STABLE)
        verdict = judge(evidence, policy, policy.canary, weight_permille=weight).verdict
        if isinstance(verdict, Breach):
            break
    return verdict


def test_a_variant_at_the_limit_is_rarely_accused_however_often_it_is_looked_at() -> None:
    limit = DEFAULT.canary.max_latency_ratio
    runs = [look(traffic(seed, 2400, ratio=limit, fails=0.005)) for seed in range(40)]
    assert sum(isinstance(run, Breach) for run in runs) <= 2


def test_an_equal_variant_has_enough_data_in_the_end() -> None:
    verdicts = [look(traffic(seed, 4000)) for seed in range(10)]
    assert sum(v == Look(True, v.message) for v in verdicts) >= 9


@pytest.mark.parametrize("policy", [DEFAULT, DEMO])
def test_a_three_times_slower_variant_is_a_breach(policy: Policy) -> None:
    verdict = look(traffic(1, 2000, ratio=3.0), policy)
    assert isinstance(verdict, Breach)
    assert verdict.reason is Reason.LATENCY


def test_one_failure_in_ten_is_a_breach_unless_the_baseline_fails_alike() -> None:
    verdict = look(traffic(2, 2000, fails=0.1))
    assert isinstance(verdict, Breach)
    assert verdict.reason is Reason.ERRORS
    assert isinstance(look(traffic(2, 2000, fails=0.1, stable_fails=0.1)), Look)


def test_a_wrong_split_is_a_breach() -> None:
    verdict = look(traffic(3, 2000, share=0.5))
    assert isinstance(verdict, Breach)
    assert verdict.reason is Reason.SAMPLE_RATIO
    assert isinstance(look(traffic(3, 2000, share=0.5), weight=0), Look)


def test_deaths_are_counted_over_the_whole_rollout() -> None:
    evidence = Evidence("shadow", NOW)
    for _ in range(2):
        evidence.take([FakeAttempt("c", 1, None, 0)], CANARY, STABLE)
    evidence = evidence.next_window("canary:0", NOW)
    evidence.take([FakeAttempt("c", 2, None, 0)], CANARY, STABLE)
    verdict = judge(evidence, DEFAULT, DEFAULT.canary).verdict
    assert isinstance(verdict, Breach)
    assert verdict.reason is Reason.CRASHES
    assert "3 times" in verdict.message


def test_requests_that_die_with_one_worker_are_one_death() -> None:
    evidence = Evidence("watch", NOW)
    for attempts in (traffic(6, 40), [FakeAttempt("c", n, None, 0) for n in range(30)]):
        evidence.take(attempts, CANARY, STABLE)
    assert (evidence.deaths, evidence.candidate.failures) == (1, 1)
    assert isinstance(judge(evidence, DEFAULT, DEFAULT.watch).verdict, Look)


def test_the_watch_takes_out_what_a_copy_costs() -> None:
    """A copy takes 0.6 times as long; nothing else differs between the two variants."""
    shadow = Evidence("shadow", NOW)
    shadow.take(traffic(8, 4000, ratio=0.6), CANARY, STABLE)
    canary = shadow.next_window("canary:0", NOW)
    assert canary.copy_cost == 0.0
    canary.take(traffic(9, 4000), CANARY, STABLE)
    watch = Evidence.from_json(canary.next_window("watch", NOW).to_json())
    assert np.exp(watch.copy_cost) == pytest.approx(0.6, rel=0.15)
    watch.take(traffic(10, 3000, ratio=1 / 0.6), CANARY, STABLE)
    judged = judge(watch, DEFAULT, DEFAULT.watch, copy_cost=watch.copy_cost)
    assert judged.numbers["latency_ratio"]["estimate"] == pytest.approx(1.0, rel=0.15)
    assert judged.verdict == Look(True, judged.verdict.message)


def test_a_copy_is_believed_to_cost_a_factor_of_two_at_most() -> None:
    evidence = Evidence("watch", NOW, shadow_log_ratio=-3.0)
    assert np.exp(evidence.copy_cost) == pytest.approx(0.5)


def test_without_a_comparison_latency_neither_passes_nor_fails() -> None:
    evidence = Evidence("watch", NOW)
    evidence.take([FakeAttempt("c", n, 90_000) for n in range(400)], CANARY, STABLE)
    policy, rules = DEFAULT, DEFAULT.watch
    compared = judge(evidence, policy, rules)
    alone = judge(evidence, policy, rules, uncompared="no copy runs")
    assert compared.verdict == Look(False, compared.verdict.message)
    assert alone.verdict == Look(True, alone.verdict.message)
    assert "latency not compared" in alone.verdict.message
    assert (alone.numbers["latency_ratio"], alone.numbers["uncompared"]) == (None, "no copy runs")
    evidence.take([FakeAttempt("c", n, None, 500) for n in range(60)], CANARY, STABLE)
    failing = judge(evidence, policy, rules, uncompared="no copy runs").verdict
    assert isinstance(failing, Breach)
    assert failing.reason is Reason.ERRORS


def test_too_few_agents_are_never_enough() -> None:
    verdict = look([FakeAttempt("c", i % 3) for i in range(4000)])
    assert verdict == Look(False, verdict.message)
    assert "more agents" in verdict.message


def test_what_is_cancelled_early_or_elsewhere_does_not_count() -> None:
    evidence = Evidence("shadow", NOW)
    early = FakeAttempt("c", 1, at=NOW - timedelta(seconds=1))
    odd = [early, FakeAttempt("x", 1), FakeAttempt("c", 1, status=0, cancelled=True)]
    evidence.take(odd, CANARY, STABLE)
    assert (evidence.candidate.trials, evidence.baseline.trials) == (0, 0)


def test_evidence_survives_json() -> None:
    evidence = Evidence("shadow", NOW, earlier_deaths=1)
    evidence.take(traffic(5, 300, fails=0.1), CANARY, STABLE)
    assert Evidence.from_json(evidence.to_json()).to_json() == evidence.to_json()


class LogOfLists:
    def __init__(self, *batches: list[FakeAttempt]) -> None:
        self._batches = list(batches)
        self.position = LogMark(7, 0)

    async def read_new(self) -> list[FakeAttempt]:
        self.position = LogMark(7, self.position.offset + 1)
        return self._batches.pop(0) if self._batches else []


async def test_each_rollout_takes_what_it_asked_for_once() -> None:
    hub = ObservationHub(LogOfLists([], [FakeAttempt("c", 1), FakeAttempt("s", 2)], []))
    one, two = hub.subscribe("one"), hub.subscribe("two")
    await hub.read()
    one.instances, two.instances = CANARY, CANARY | STABLE
    first, second = await one.take(), await two.take()
    assert [a.instance_id for a in first.attempts] == ["c"]
    assert [a.instance_id for a in second.attempts] == ["c", "s"]
    assert (await one.take()).attempts == []
    assert second.mark == LogMark(7, 3)
    assert hub.subscribe("one") is one
    hub.unsubscribe("one")
    assert hub.subscribe("one") is not one
    reader = asyncio.ensure_future(hub.run())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
