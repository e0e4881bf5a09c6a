"""Quantiles of two samples compared without assuming a distribution (for one look, at the end)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrik

from o_platform.stats.intervals import Interval, check_alpha


def quantile_interval(values: NDArray[np.float64], q: float, *, alpha: float) -> Interval:
    """Confidence interval for the q-quantile of independent values.

    Args:
        values: shape (n,), in any order.
        q: in (0, 1).
        alpha: error probability, in (0, 1); alpha / 2 on each side.

    Returns:
        Infinite ends where the sample is too small to have an order statistic beyond them.

    Source: distribution-free interval from order statistics: the number of values below the
    quantile is Binomial(n, q). See David and Nagaraja, "Order Statistics".
    """
    check_alpha(alpha)
    n = values.size
    if n == 0:
        return Interval(math.nan, -math.inf, math.inf)
    ordered = np.sort(values)
    low = _binomial_quantile(alpha / 2, n, q)
    high = _binomial_quantile(1 - alpha / 2, n, q) + 1
    return Interval(
        float(np.quantile(ordered, q)),
        float(ordered[low - 1]) if low >= 1 else -math.inf,
        float(ordered[high - 1]) if high <= n else math.inf,
    )


def quantile_ratio(
    treated: NDArray[np.float64], control: NDArray[np.float64], q: float, *, alpha: float
) -> Interval:
    """Interval for quantile(treated) / quantile(control) of positive values.

    Each quantile gets half of `alpha`; the ratio lies between the extremes of both intervals.
    """
    top = quantile_interval(treated, q, alpha=alpha / 2)
    bottom = quantile_interval(control, q, alpha=alpha / 2)
    lower = top.lower / bottom.upper if top.lower > 0 and math.isfinite(bottom.upper) else 0.0
    upper = top.upper / bottom.lower if bottom.lower > 0 else math.inf
    return Interval(top.estimate / bottom.estimate, lower, upper)


def _binomial_quantile(level: float, n: int, q: float) -> int:
    """The smallest k with P(Binomial(n, q) <= k) >= level."""
    above = max(math.ceil(bdtrik(level, n, q)), 0)
    return above - 1 if above and bdtr(above - 1, n, q) >= level else above
