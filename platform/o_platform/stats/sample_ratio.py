"""A sequential check that traffic arrives in the shares that were configured.

A wrong split (a routing fault, a variant that loses requests before they are counted) makes every
comparison worthless, so it is tested at every look.

Source: Lindon, Malek, "Anytime-valid inference for multinomial count data" (arXiv 2011.03567): a
Dirichlet mixture over the multinomial against the point hypothesis of the configured shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONCENTRATION = 100.0
"""Sum of the Dirichlet prior's parameters, centred on the configured shares: mismatches of a few
per cent are found fastest."""


def log_e_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Natural log of the evidence against "units fall into the arms with these shares".

    Args:
        counts: distinct units (agents) seen in each arm, shape (arms,), each >= 0.
        shares: configured share of each arm, shape (arms,), each > 0, summing to 1.

    Raises:
        ValueError: shapes differ, a count is negative, or shares do not sum to 1.

    Source: see the module's docstring.
    """
    if len(counts) != len(shares) or min(counts, default=-1) < 0:
        raise ValueError("counts and shares must have one non-negative entry per arm")
    if min(shares) <= 0.0 or not math.isclose(sum(shares), 1.0, abs_tol=1e-9):
        raise ValueError(f"shares must be positive and sum to 1, got {list(shares)}")
    prior = [CONCENTRATION * share for share in shares]
    evidence = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + sum(counts))
    for count, weight, share in zip(counts, prior, shares, strict=True):
        evidence += math.lgamma(weight + count) - math.lgamma(weight) - count * math.log(share)
    return evidence


def is_mismatch(counts: Sequence[int], shares: Sequence[float], *, alpha: float) -> bool:
    """Whether the split is wrong, with error probability `alpha` over all looks together."""
    return log_e_value(counts, shares) >= -math.log(alpha)
