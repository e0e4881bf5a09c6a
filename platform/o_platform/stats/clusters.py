"""Observations grouped by agent, because traffic is split by agent.

Requests of one agent resemble each other (same memory, same length of history), so a test that
counts requests as independent finds differences that are not there. The unit of analysis is the
agent: one mean each, all weighing the same. Agents are told apart by a small key (the bucket in
their id), so that what is kept stays bounded however many agents there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class ClusterTotals:
    """Count and sum of a value per cluster; grows by `add`, one entry per cluster key."""

    counts: dict[int, int] = field(default_factory=dict)
    sums: dict[int, float] = field(default_factory=dict)

    def add(self, key: int, value: float) -> None:
        """Take one observation of the cluster `key` in."""
        self.counts[key] = self.counts.get(key, 0) + 1
        self.sums[key] = self.sums.get(key, 0.0) + value

    @property
    def observations(self) -> int:
        """How many values were added."""
        return sum(self.counts.values())

    def means(self) -> NDArray[np.float64]:
        """The mean of each cluster, shape (clusters,), in order of first appearance."""
        return np.array([self.sums[key] / n for key, n in self.counts.items()], dtype=np.float64)

    def to_json(self) -> dict[str, list[float]]:
        """A JSON-ready form, `{key: [count, sum]}`."""
        return {str(key): [n, round(self.sums[key], 6)] for key, n in self.counts.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, list[float]]) -> ClusterTotals:
        """Read what `to_json` wrote."""
        return cls(
            {int(key): int(pair[0]) for key, pair in data.items()},
            {int(key): float(pair[1]) for key, pair in data.items()},
        )


def cluster_means(pairs: Iterable[tuple[int, float]]) -> NDArray[np.float64]:
    """Means per cluster of `(cluster key, value)` pairs, shape (clusters,)."""
    totals = ClusterTotals()
    for key, value in pairs:
        totals.add(key, value)
    return totals.means()
