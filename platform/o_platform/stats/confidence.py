"""An asymptotic confidence sequence for a difference of means.

Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and
asymptotic confidence sequences" (arXiv 2103.06476): the two-sided Gaussian-mixture boundary, with
half-width ``s * sqrt((t r^2 + 1) / (t^2 r^2) * log((t r^2 + 1) / alpha^2))`` after t values with
standard deviation s and mixture scale r. It is written here in terms of the variance V = s^2 / t of
the estimate and the standard deviation p = r * s of the mixture over the *effect*:
``sqrt(V * (V + p^2) / p^2 * log((V + p^2) / (V alpha^2)))``. Both are the same number; the second
form also covers two samples of different size, whose difference has V = V_a + V_b, and says in the
unit of the effect where the boundary is tightest (effects of about p).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from o_platform.stats.intervals import Interval, check_alpha

MIN_CLUSTERS = 5
"""Fewer clusters in an arm than this bound nothing: the theory is asymptotic."""
_VARIANCE_FLOOR = 1e-12


def half_width(variance: float, *, prior_sd: float, alpha: float) -> float:
    """Half-width of the confidence sequence around an estimate.

    Args:
        variance: of the estimate (not of one value), > 0.
        prior_sd: size of the effects for which the sequence is tightest, in the estimate's unit.
        alpha: error probability over all looks together, in (0, 1).

    Raises:
        ValueError: an argument out of its range.

    Source: see the module's docstring.
    """
    check_alpha(alpha)
    if variance <= 0.0 or prior_sd <= 0.0:
        raise ValueError("variance and prior_sd must be positive")
    total = variance + prior_sd**2
    return math.sqrt(variance * total / prior_sd**2 * math.log(total / (variance * alpha**2)))


def mean_difference(
    treated: NDArray[np.float64],
    control: NDArray[np.float64],
    *,
    alpha: float,
    prior_sd: float = 0.1,
) -> Interval:
    """Confidence sequence for mean(treated) - mean(control), valid at every look.

    Args:
        treated: independent values (cluster means), shape (n,).
        control: independent values (cluster means), shape (m,).
        alpha: error probability over all looks together, in (0, 1); alpha / 2 on each side.
        prior_sd: effect size for which the sequence is tightest; 0.1 is 10 % on log-latency.

    Returns:
        An unbounded interval while an arm has fewer than `MIN_CLUSTERS` values.

    Source: see the module's docstring; V_a + V_b with sample variances, as for two independent
    samples. The theory is asymptotic; for small samples the width grows by the ratio of Student's
    quantile, with the degrees of freedom of Welch and Satterthwaite, to the normal one. That is our
    own correction, not the paper's.
    """
    check_alpha(alpha)
    if min(treated.size, control.size) < MIN_CLUSTERS:
        return Interval(_difference(treated, control), -math.inf, math.inf)
    estimate = _difference(treated, control)
    parts = np.array([arm.var(ddof=1) / arm.size for arm in (treated, control)])
    width = half_width(max(float(parts.sum()), _VARIANCE_FLOOR), prior_sd=prior_sd, alpha=alpha)
    width *= _small_sample_factor(parts, np.array([treated.size, control.size]), alpha)
    return Interval(estimate, estimate - width, estimate + width)


def _small_sample_factor(
    parts: NDArray[np.float64], sizes: NDArray[np.int64], alpha: float
) -> float:
    spread = float((parts**2 / (sizes - 1)).sum())
    if spread <= 0.0:
        return 1.0
    freedom = float(parts.sum()) ** 2 / spread
    quantile = 1.0 - alpha / 2
    return float(stdtrit(freedom, quantile) / ndtri(quantile))


def _difference(treated: NDArray[np.float64], control: NDArray[np.float64]) -> float:
    if not treated.size or not control.size:
        return 0.0
    return float(treated.mean() - control.mean())
