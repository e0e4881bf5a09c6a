"""What was observed of a candidate and its baseline in one window of live traffic.

A window is one phase, or one step of the canary: shares change between steps, so each is compared
within itself only. Worker deaths are counted over the whole rollout. Everything has a JSON form,
since a control plane that restarts must not forget what it saw.

A copy of a turn does not take as long as the original would: it waits for the original to open, and
its commit is not made durable. By how much depends on the machine, so each rollout measures it: the
shadow gate compares a copy with an original, the canary two originals. The quotient of these ratios
is what a copy costs, and the watch, where the baseline answers copies, is corrected by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from o_platform.rollout.ports import Attempt
from o_platform.stats.clusters import ClusterTotals
from o_platform.stats.rates import Tally

CLUSTERS: Final = 1024
"""Latency is kept for at most this many groups of agents; agents of one group count as one."""
MAX_COPY_COST: Final = math.log(2.0)
"""A copy is believed to be at most twice as slow, or as fast, as an original."""
_NO_AGENT: Final = -1


@dataclass(slots=True)
class Arm:
    """One side of a comparison."""

    trials: int = 0
    failures: int = 0
    deaths: int = 0
    """How often a worker died, whatever number of requests it had."""
    latency: ClusterTotals = field(default_factory=ClusterTotals)
    """Natural log of milliseconds, of successful attempts, by agent."""
    agents: int = 0
    """Bit set of the buckets (16 bits of an agent's id) that were seen."""

    def take(self, attempt: Attempt) -> None:
        """Count one attempt. Anything but 2xx is a failure; status 0 is a death as well."""
        if attempt.cancelled:
            return
        self.trials += 1
        bucket = _bucket(attempt.routing_key)
        if bucket != _NO_AGENT:
            self.agents |= 1 << bucket
        if not 200 <= attempt.status < 300:
            self.failures += 1
            self.deaths += attempt.status == 0
        elif bucket != _NO_AGENT and attempt.duration_us is not None:
            milliseconds = max(attempt.duration_us, 1) / 1000
            self.latency.add(bucket % CLUSTERS, math.log(milliseconds))

    @property
    def tally(self) -> Tally:
        """Failures out of trials."""
        return Tally(self.trials, self.failures)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "trials": self.trials,
            "failures": self.failures,
            "deaths": self.deaths,
            "latency": self.latency.to_json(),
            "agents": f"{self.agents:x}",
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Arm:
        """Read what `to_json` wrote."""
        return cls(
            trials=data["trials"],
            failures=data["failures"],
            deaths=data["deaths"],
            latency=ClusterTotals.from_json(data["latency"]),
            agents=int(data["agents"], 16),
        )


@dataclass(slots=True)
class Evidence:
    """Both sides in one window, and the deaths of earlier ones."""

    window: str
    """Phase and step it belongs to."""
    since: datetime
    """Attempts that began earlier belong to the window before."""
    candidate: Arm = field(default_factory=Arm)
    baseline: Arm = field(default_factory=Arm)
    earlier_deaths: int = 0
    shadow_log_ratio: float = 0.0
    """Candidate's copies over the baseline's originals, as last seen in the shadow gate."""
    canary_log_ratio: float = 0.0
    """Candidate's originals over the baseline's, as last seen in the newest step of the canary."""

    def take(self, attempts: Iterable[Attempt], candidate: set[str], baseline: set[str]) -> None:
        """Count the attempts at the instances with these ids; others are not our concern.

        A worker takes every request it has under way with it. So of the deaths at one instance that
        are taken together, as those within one look are, one counts.
        """
        dead: set[str] = set()
        for attempt in attempts:
            died = attempt.status == 0 and not attempt.cancelled
            if attempt.at < self.since or (died and attempt.instance_id in dead):
                continue
            if died:
                dead.add(attempt.instance_id)
            if attempt.instance_id in candidate:
                self.candidate.take(attempt)
            elif attempt.instance_id in baseline:
                self.baseline.take(attempt)

    @property
    def deaths(self) -> int:
        """The candidate's deaths in the whole rollout."""
        return self.earlier_deaths + self.candidate.deaths

    def next_window(self, window: str, since: datetime) -> Evidence:
        """An empty window after this one, named `window`, that begins at `since`."""
        ratios = (self.shadow_log_ratio, self.canary_log_ratio)
        if self.window == "shadow":
            ratios = (self._log_ratio(), self._log_ratio())
        elif self.window.startswith("canary"):
            ratios = (self.shadow_log_ratio, self._log_ratio())
        return Evidence(window, since, Arm(), Arm(), self.deaths, *ratios)

    @property
    def copy_cost(self) -> float:
        """Natural log of a copy's latency over an original's; 0 as long as it is not known."""
        cost = self.shadow_log_ratio - self.canary_log_ratio
        return min(max(cost, -MAX_COPY_COST), MAX_COPY_COST)

    def _log_ratio(self) -> float:
        ours, theirs = self.candidate.latency.means(), self.baseline.latency.means()
        return float(ours.mean() - theirs.mean()) if ours.size and theirs.size else 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "window": self.window,
            "since": self.since.isoformat(),
            "candidate": self.candidate.to_json(),
            "baseline": self.baseline.to_json(),
            "earlier_deaths": self.earlier_deaths,
            "shadow_log_ratio": self.shadow_log_ratio,
            "canary_log_ratio": self.canary_log_ratio,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Evidence:
        """Read what `to_json` wrote."""
        return cls(
            data["window"],
            datetime.fromisoformat(data["since"]),
            Arm.from_json(data["candidate"]),
            Arm.from_json(data["baseline"]),
            data["earlier_deaths"],
            data["shadow_log_ratio"],
            data["canary_log_ratio"],
        )


def _bucket(routing_key: str | None) -> int:
    tail = (routing_key or "")[9:13]
    try:
        return int(tail, 16) if len(tail) == 4 else _NO_AGENT
    except ValueError:
        return _NO_AGENT
