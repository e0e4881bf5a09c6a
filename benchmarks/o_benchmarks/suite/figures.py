"""The figures of a run: one flat table of names and numbers, and the limits some of them must keep.

A name tells its unit by its ending (`_ms`, `_s`, `_us`, `_mb`, `rps`; `ratio` and `share` have
none). More is better for `rps` and `recall_share`, less for all others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must be: at most `limit`, or at least, if more is better."""

    figure: str
    limit: float

    @property
    def more_is_better(self) -> bool:
        """Whether the figure must be at least `limit`."""
        return more_is_better(self.figure)

    def holds(self, value: float) -> bool:
        """Whether a value keeps the limit."""
        return value >= self.limit if self.more_is_better else value <= self.limit


CRUD: Final = (
    "agent_create", "agent_get", "agent_list", "agent_update", "block_create", "block_get",
    "block_list", "block_update", "messages_list",
)  # fmt: skip
"""Requests that the control plane answers, each measured alone."""
TARGETS: Final = (
    Target("turns.c64.rps", 5_000),
    Target("turns.c32.p50_ms", 10),
    Target("turns.c32.p99_ms", 30),
    Target("turns.c64.cpu_us", 300),
    Target("kill.worker.next_200_ms", 50),
    Target("kill.worker.failed", 0),
    Target("kill.bridge.next_200_ms", 100),
    Target("kill.bridge.failed", 0),
    Target("kill.control.next_200_ms", 500),
    Target("kill.control.failed", 0),
    Target("kill.envoy.next_200_ms", 150),
    Target("kill.lost", 0),
    Target("kill.twice", 0),
    Target("memory.instance_mb", 80),
    Target("idle.platform_mb", 250),
    Target("genome.first_200_s", 1.5),
    Target("weights.all_moved_ms", 50),
    Target("abort.last_request_ms", 100),
    Target("start.second_s", 5),
    Target("stream.echo.above_model_p50_ms", 3),
    Target("stream.scripted.above_model_p50_ms", 3),
    Target("streams.platform_mb", 400),
    Target("streams.failed", 0),
    Target("crud.agent_create_alone.p50_ms", 5),
    *(Target(f"crud.{name}.rps", 1_500) for name in CRUD),
    Target("population.large_to_small.cpu_us_ratio", 1.15),
    Target("archival.search.p50_ms", 10),
    Target("archival.recall_share", 0.95),
    Target("recall.search.p50_ms", 30),
    Target("recall.recall_share", 0.95),
)
"""The project's targets, for two quiet cores that also carry the load generator."""


@dataclass(slots=True)
class Report:
    """What a run measured, and which of its measurements failed (name → why)."""

    figures: Figures = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    measured: list[str] = field(default_factory=list)
    quick: bool = False
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read what `save` wrote.

        Raises:
            ValueError: that is no report; says which file.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{path} is not a report of `make bench`: {error}") from error


def more_is_better(figure: str) -> bool:
    """Whether a larger number of this figure is the better one."""
    return figure.endswith(("rps", "recall_share"))


def median(values: Sequence[float]) -> float:
    """The middle value (of an even number, the mean of the two in the middle).

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("the median of nothing")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def rounded(value: float) -> float:
    """With three significant digits at least, and no more than make sense."""
    if value == 0 or not math.isfinite(value):
        return value
    digits = 3 - math.ceil(math.log10(abs(value)))
    return round(value, max(0, digits))
