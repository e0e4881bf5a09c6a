import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_platform.stats.rates import Tally, log_e_value, rate_interval

pytestmark = pytest.mark.unit


def test_a_rate_within_its_limit_is_rarely_accused_at_any_look() -> None:
    alpha, rate, runs = 0.05, 0.02, 400
    rng = np.random.default_rng(7)
    alarms = 0
    for failures in (rng.random((runs, 1500)) < rate).cumsum(axis=1):
        looks = range(9, 1500, 10)
        alarms += any(
            log_e_value(Tally(n + 1, int(failures[n])), rate) >= -math.log(alpha) for n in looks
        )
    assert alarms / runs <= alpha + 3 * math.sqrt(alpha / runs)


def test_one_crash_in_ten_is_seen_within_a_hundred_requests() -> None:
    rng = np.random.default_rng(3)
    failures = (rng.random((200, 100)) < 0.1).sum(axis=1)
    seen = sum(rate_interval(Tally(100, int(k)), alpha=0.05).lower > 0.01 for k in failures)
    assert seen >= 180


@given(st.integers(0, 3000), st.data())
def test_interval_holds_the_observed_rate_and_exactly_the_rates_not_rejected(
    trials: int, data: st.DataObject
) -> None:
    failures = data.draw(st.integers(0, trials))
    interval = rate_interval(Tally(trials, failures), alpha=0.05)
    assert 0.0 <= interval.lower <= interval.estimate <= interval.upper <= 1.0
    for rate in (0.01, 0.3, 0.9):
        rejected = log_e_value(Tally(trials, failures), rate) > -math.log(0.05) + 1e-6
        assert not (rejected and interval.lower < rate < interval.upper)


def test_more_clean_requests_tighten_the_upper_end() -> None:
    uppers = [rate_interval(Tally(n, 0), alpha=0.05).upper for n in (0, 10, 100, 1000)]
    assert uppers[0] == 1.0
    assert uppers == sorted(uppers, reverse=True)
    assert uppers[-1] < 0.01


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Tally(1, 2)
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        log_e_value(Tally(1, 1), 1.5)
