import math

import numpy as np
import pytest

from o_platform.stats.clusters import ClusterTotals, cluster_means
from o_platform.stats.confidence import MIN_CLUSTERS, half_width, mean_difference

pytestmark = pytest.mark.unit

ALPHA = 0.05


def stream(rng: np.random.Generator, shift: float, looks: int) -> list[tuple[int, float, int]]:
    """Requests in arrival order: (agent, log latency, arm); agents differ, arms by `shift`."""
    agents = 400
    level = rng.normal(0.0, 0.2, agents)
    arm = rng.random(agents) < 0.5
    agent = rng.integers(0, agents, looks * 20)
    noise = rng.gamma(1.5, 0.25, agent.size)
    value = level[agent] + noise + shift * arm[agent]
    return list(zip(agent.tolist(), value.tolist(), arm[agent].tolist(), strict=True))


def looks_at(
    requests: list[tuple[int, float, int]], every: int = 20
) -> list[tuple[np.ndarray, np.ndarray]]:
    arms = (ClusterTotals(), ClusterTotals())
    seen = []
    for position, (agent, value, arm) in enumerate(requests, 1):
        arms[arm].add(agent, value)
        if position % every == 0 and position >= 100:
            seen.append((arms[1].means(), arms[0].means()))
    return seen


def ever_excludes(shift: float, seed: int, looks: int, bound: float = 0.0) -> bool:
    requests = stream(np.random.default_rng(seed), shift, looks)
    return any(
        mean_difference(treated, control, alpha=ALPHA).lower > bound
        for treated, control in looks_at(requests)
    )


def test_a_harmless_variant_is_rarely_accused_however_often_it_is_looked_at() -> None:
    runs = 200
    alarms = sum(ever_excludes(0.0, seed, looks=60) for seed in range(runs))
    # alpha / 2 a side; the bound leaves room for 200 runs' own noise (three standard errors).
    assert alarms / runs <= ALPHA / 2 + 3 * math.sqrt(ALPHA / 2 / runs)


def test_fixed_sample_test_would_have_failed_the_same_streams() -> None:
    def naive(seed: int) -> bool:
        requests = stream(np.random.default_rng(seed), 0.0, 60)
        for treated, control in looks_at(requests):
            error = math.sqrt(
                treated.var(ddof=1) / treated.size + control.var(ddof=1) / control.size
            )
            if treated.mean() - control.mean() > 1.96 * error:
                return True
        return False

    assert sum(naive(seed) for seed in range(100)) / 100 > ALPHA


def test_fifteen_percent_slower_is_found() -> None:
    shift = math.log(1.15)
    found = sum(ever_excludes(shift, 10_000 + seed, looks=150) for seed in range(30))
    assert found >= 27


def test_a_handful_of_agents_does_not_accuse_more_easily() -> None:
    def alarms(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        values = rng.normal(0.0, 0.3, (2, 12)) + rng.gamma(1.5, 0.3, (2, 12))
        return any(
            mean_difference(values[0, :n], values[1, :n], alpha=ALPHA).lower > 0
            for n in range(MIN_CLUSTERS, 13)
        )

    runs = 500
    assert sum(map(alarms, range(runs))) / runs <= ALPHA / 2 + 3 * math.sqrt(ALPHA / 2 / runs)


def test_width_is_the_papers_boundary_in_its_own_terms() -> None:
    t, sd, prior_sd = 250, 0.8, 0.1
    r = prior_sd / sd
    paper = sd * math.sqrt((t * r**2 + 1) / (t**2 * r**2) * math.log((t * r**2 + 1) / ALPHA**2))
    assert half_width(sd**2 / t, prior_sd=prior_sd, alpha=ALPHA) == pytest.approx(paper)


def test_few_clusters_bound_nothing() -> None:
    few = np.zeros(MIN_CLUSTERS - 1)
    interval = mean_difference(few, np.zeros(50), alpha=ALPHA)
    assert (interval.lower, interval.upper) == (-math.inf, math.inf)
    assert interval.exp().lower == 0.0
    assert interval.exp().upper == math.inf


@pytest.mark.parametrize(("variance", "prior_sd", "alpha"), [(0, 1, 0.1), (1, 0, 0.1), (1, 1, 0)])
def test_bad_arguments_are_refused(variance: float, prior_sd: float, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        half_width(variance, prior_sd=prior_sd, alpha=alpha)


def test_each_agent_counts_once() -> None:
    assert cluster_means([(1, 1.0), (2, 4.0), (1, 3.0)]).tolist() == [2.0, 4.0]


def test_totals_survive_json() -> None:
    totals = ClusterTotals()
    for key, value in [(7, 0.25), (7, 0.5), (65535, -1.5)]:
        totals.add(key, value)
    assert ClusterTotals.from_json(totals.to_json()) == totals
    assert totals.observations == 3
