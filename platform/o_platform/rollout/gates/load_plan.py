"""What a load test does, as it is handed to the process that does it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

from o_contracts.ids import BENCH_LINEAGE_KEY, new_agent_id
from o_platform.rollout.policy import LoadRules

_VARIABLE: Final = "O_LOAD_PLAN"
AGENTS_PER_CLIENT: Final = 4
TIMEOUT_S: Final = 10.0

Side = Literal["candidate", "baseline"]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Rates are requests per second; times are seconds; `agents` exist on bench instances only."""

    socket: str
    instances: dict[Side, str]
    agents: list[str]
    rate_rps: float
    concurrency: int
    window_s: float
    seconds: float
    timeout_s: float = TIMEOUT_S

    @classmethod
    def of(cls, rules: LoadRules, socket: str, candidate: str, baseline: str) -> LoadPlan:
        """The test that `rules` ask for, between two instances behind Envoy's internal socket."""
        count = rules.concurrency * AGENTS_PER_CLIENT
        return cls(
            socket=socket,
            instances={"candidate": candidate, "baseline": baseline},
            agents=[new_agent_id(BENCH_LINEAGE_KEY) for _ in range(count)],
            rate_rps=rules.rate_rps,
            concurrency=rules.concurrency,
            window_s=rules.window_s,
            seconds=rules.seconds,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> LoadPlan:
        """Read what `environment` wrote."""
        return cls(**json.loads(environment[_VARIABLE]))

    def environment(self) -> dict[str, str]:
        """The plan as a variable of the process's environment."""
        return {_VARIABLE: json.dumps(asdict(self))}

    def side_at(self, moment_s: float) -> Side:
        """Whose window a moment of the machine's monotonic clock is in."""
        return "candidate" if math.floor(moment_s / self.window_s) % 2 == 0 else "baseline"
