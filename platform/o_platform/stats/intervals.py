"""A closed interval, possibly unbounded, that covers a parameter with a stated probability."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """`lower <= estimate <= upper`; infinite ends when the data cannot bound them."""

    estimate: float
    lower: float
    upper: float

    def exp(self) -> Interval:
        """The interval of `exp(parameter)`: a difference of logs becomes a ratio."""
        return Interval(_exp(self.estimate), _exp(self.lower), _exp(self.upper))


def check_alpha(alpha: float) -> None:
    """Refuse an error probability outside (0, 1).

    Raises:
        ValueError: `alpha` is not inside (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}")


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
