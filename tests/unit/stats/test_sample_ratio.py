import math

import numpy as np
import pytest
from scipy.stats import binom

from o_platform.stats.budget import AlphaBudget
from o_platform.stats.quantiles import quantile_interval, quantile_ratio
from o_platform.stats.sample_ratio import is_mismatch, log_e_value

pytestmark = pytest.mark.unit


def test_a_right_split_is_rarely_accused_at_any_look() -> None:
    alpha, share, runs = 0.05, 0.25, 300
    rng = np.random.default_rng(11)
    alarms = 0
    for canary in (rng.random((runs, 1000)) < share).cumsum(axis=1):
        looks = range(9, 1000, 10)
        alarms += any(
            is_mismatch([int(canary[n]), n + 1 - int(canary[n])], [share, 1 - share], alpha=alpha)
            for n in looks
        )
    assert alarms / runs <= alpha + 3 * math.sqrt(alpha / runs)


def test_a_wrong_split_is_found() -> None:
    assert is_mismatch([350, 650], [0.25, 0.75], alpha=0.01)
    assert not is_mismatch([255, 745], [0.25, 0.75], alpha=0.01)


@pytest.mark.parametrize(
    ("counts", "shares"), [([1], [0.5, 0.5]), ([1, -1], [0.5, 0.5]), ([1, 1], [0.5, 0.6]), ([], [])]
)
def test_bad_arms_are_refused(counts: list[int], shares: list[float]) -> None:
    with pytest.raises(ValueError, match="must"):
        log_e_value(counts, shares)


def test_quantile_ratio_brackets_the_truth() -> None:
    rng = np.random.default_rng(5)
    misses = 0
    for _ in range(200):
        treated = 3.0 * rng.lognormal(0.0, 0.4, 400)
        interval = quantile_ratio(treated, rng.lognormal(0.0, 0.4, 400), 0.5, alpha=0.05)
        misses += not interval.lower <= 3.0 <= interval.upper
    assert misses <= 10


def test_a_sample_too_small_for_p99_has_no_upper_bound() -> None:
    interval = quantile_interval(np.arange(1.0, 51.0), 0.99, alpha=0.05)
    assert interval.upper == math.inf
    assert interval.lower > 0


def test_shares_of_a_budget_add_up_to_it() -> None:
    budget = AlphaBudget(0.05, {"latency": 2.0, "errors": 1.0})
    spent = 3 * budget.share("latency", of=3) + budget.share("errors")
    assert spent == pytest.approx(0.05)
    with pytest.raises(KeyError):
        budget.share("unknown")


@pytest.mark.parametrize("size", [1, 2, 33, 5000])
@pytest.mark.parametrize("q", [0.01, 0.5, 0.99])
def test_order_statistics_are_chosen_by_binomial_quantiles(size: int, q: float) -> None:
    for alpha in (1e-6, 0.05, 0.5):
        interval = quantile_interval(np.arange(1.0, size + 1.0), q, alpha=alpha)
        low, high = binom.ppf([alpha / 2, 1 - alpha / 2], size, q)
        assert interval.lower == (low if low >= 1 else -math.inf)
        assert interval.upper == (high + 1 if high + 1 <= size else math.inf)
