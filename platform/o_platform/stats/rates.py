"""Sequential inference on a rate of failures: a beta-binomial e-process, and its inversion.

With prior Beta(a, b) the mixture likelihood ratio of n trials with k failures against a rate p is
``E(p) = B(a + k, b + n - k) / B(a, b) / (p^k (1 - p)^(n - k))``. Under the rate p its expectation
is 1 at every n, so by Ville's inequality it ever exceeds 1 / alpha with probability at most alpha.
The rates it does not reject form a confidence sequence.

Source: Robbins, "Statistical methods related to the law of the iterated logarithm" (1970), the
method of mixtures; Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences" (2021) for the beta-binomial mixture.

Failures are counted per request, not per agent: the guardrail protects users, and dependence
between one agent's requests can only make it fire early, never promote.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from o_platform.stats.intervals import Interval, check_alpha

PRIOR_FAILURES = 1.0
PRIOR_SUCCESSES = 9.0
"""Beta(1, 9): most sensitive to rates around one in ten, valid for all."""


@dataclass(frozen=True, slots=True)
class Tally:
    """`failures` out of `trials`; 0 <= failures <= trials."""

    trials: int = 0
    failures: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that cannot be.

        Raises:
            ValueError: not 0 <= failures <= trials.
        """
        if not 0 <= self.failures <= self.trials:
            raise ValueError(f"{self.failures} failures of {self.trials} trials cannot be")

    def __add__(self, other: Tally) -> Tally:
        """Both tallies together."""
        return Tally(self.trials + other.trials, self.failures + other.failures)


def log_e_value(tally: Tally, rate: float) -> float:
    """Natural log of the evidence against "failures have probability `rate`".

    Args:
        tally: what was counted so far.
        rate: the hypothesis, in [0, 1].

    Raises:
        ValueError: `rate` outside [0, 1].

    Source: see the module's docstring.
    """
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"a rate is in [0, 1], got {rate}")
    successes = tally.trials - tally.failures
    mixture = betaln(PRIOR_FAILURES + tally.failures, PRIOR_SUCCESSES + successes)
    null = xlogy(tally.failures, rate) + xlog1py(successes, -rate)
    return float(mixture - betaln(PRIOR_FAILURES, PRIOR_SUCCESSES) - null)


def rate_interval(tally: Tally, *, alpha: float) -> Interval:
    """Confidence sequence for a rate, valid at every look.

    Args:
        tally: what was counted so far; empty gives [0, 1].
        alpha: error probability over all looks together, in (0, 1), for both sides together.

    Source: see the module's docstring; the interval is {p : E(p) < 1 / alpha}. E is convex in p on
    a log scale with its minimum at the observed rate, so each end is a root on its side of it.
    """
    check_alpha(alpha)
    if tally.trials == 0:
        return Interval(0.0, 0.0, 1.0)
    observed = tally.failures / tally.trials
    threshold = -math.log(alpha)
    return Interval(
        observed,
        _root(tally, threshold, 0.0, observed) if tally.failures else 0.0,
        _root(tally, threshold, 1.0, observed) if tally.failures < tally.trials else 1.0,
    )


def _root(tally: Tally, threshold: float, outside: float, inside: float) -> float:
    """The rate between a rejected end and the observed rate at which evidence meets `threshold`."""
    edge = min(max(outside, 1e-12), 1.0 - 1e-12)
    if log_e_value(tally, edge) < threshold:
        return outside
    return float(brentq(lambda rate: log_e_value(tally, rate) - threshold, edge, inside))
