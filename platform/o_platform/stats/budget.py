"""One budget of error probability for everything a rollout decides.

By the union bound the chance of any false alarm is at most the sum of what was spent, whatever the
dependence between the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from o_platform.stats.intervals import check_alpha


@dataclass(frozen=True, slots=True)
class AlphaBudget:
    """`total` error probability, divided among named tests by weight."""

    total: float
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check the parts.

        Raises:
            ValueError: `total` outside (0, 1), no test, or a weight that is not positive.
        """
        check_alpha(self.total)
        if not self.weights or min(self.weights.values()) <= 0.0:
            raise ValueError("a budget needs at least one test, each with a positive weight")

    def share(self, test: str, *, of: int = 1) -> float:
        """Error probability of one of `of` equal uses of `test`.

        Raises:
            KeyError: the budget knows no such test.
        """
        return self.total * self.weights[test] / sum(self.weights.values()) / of
