"""A run against a baseline: each figure as a ratio, with what is clearly better or worse marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from o_benchmarks.suite.figures import Figures, Report, more_is_better

NOTABLE: Final = 1.15
"""Ratios within 1/1.15 … 1.15 are noise, on a quiet machine."""
Verdict = Literal["better", "worse", "same"]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of both runs. `ratio` is this run's over the baseline's; None: divided by zero."""

    figure: str
    baseline: float
    now: float

    @property
    def ratio(self) -> float | None:
        """This run's value over the baseline's."""
        if self.baseline == 0:
            return 1.0 if self.now == 0 else None
        return self.now / self.baseline

    @property
    def verdict(self) -> Verdict:
        """Whether the change is more than noise, and for the better."""
        if self.ratio is not None and 1 / NOTABLE <= self.ratio <= NOTABLE:
            return "same"
        grew = self.now > self.baseline
        return "better" if grew == more_is_better(self.figure) else "worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures that both runs have, and the names that only one has."""

    changes: Sequence[Change]
    only_now: Sequence[str]
    only_baseline: Sequence[str]


def compare(now: Report, baseline: Report) -> Comparison:
    """Put two runs side by side; figures of measurements that were not made now are left out."""
    measured = {name.partition(".")[0] for name in now.figures}
    expected: Figures = {
        name: value
        for name, value in baseline.figures.items()
        if name.partition(".")[0] in measured
    }
    return Comparison(
        [Change(n, expected[n], value) for n, value in now.figures.items() if n in expected],
        [name for name in now.figures if name not in expected],
        [name for name in expected if name not in now.figures],
    )
