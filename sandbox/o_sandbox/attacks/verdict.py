"""What came of an attack, and of a whole run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from o_sandbox.attacks.attack import BUDGETS, GRACE_S, Detector
from o_sandbox.attacks.footprint import Footprint
from o_sandbox.tool import Tier

MAX_GROWTH_BYTES: Final = 20_000_000
"""How much more memory the host may hold after the suite than after the first attacks."""
START_S: Final = 3.0
"""Longest that it may take to make a guest ready, on a busy machine too."""
HOST_FAILURE: Final = "host failure"
"""In place of an outcome's reason, when the sandbox raised instead of giving one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one attack.

    `waited_s` is what the caller waited, `wall_s` what of it began when the guest was ready for the
    call (a process may have to be made first), `machine_late_s` by how much the machine itself was
    late meanwhile. `cpu_s` is what the guest used. `wall_s` and `cpu_s` are the sandbox's word.
    """

    attack: str
    group: str
    reason: str
    waited_s: float
    wall_s: float
    wall_budget_s: float
    machine_late_s: float
    cpu_s: float
    cpu_budget_s: float
    fired: frozenset[Detector]
    detail: str = ""

    @property
    def over_s(self) -> float:
        """Seconds above its budget, of wall time or of CPU; negative for less."""
        waited_s = max(self.wall_s, self.waited_s - START_S)
        wall_s = waited_s - self.machine_late_s - self.wall_budget_s
        return max(wall_s, self.cpu_s - self.cpu_budget_s)

    @property
    def escaped(self) -> bool:
        """Whether it took some bait, or brought down what serves others."""
        return bool(self.fired - BUDGETS - {Detector.POISON})

    @property
    def poisoned(self) -> bool:
        """Whether the clean call after it went wrong."""
        return Detector.POISON in self.fired

    @property
    def overran(self) -> bool:
        """Whether it took more than its budget."""
        return bool(self.fired & BUDGETS)

    @property
    def host_failed(self) -> bool:
        """Whether the sandbox raised instead of giving an outcome."""
        return self.reason == HOST_FAILURE

    @property
    def held(self) -> bool:
        """Whether the sandbox did what is demanded of it."""
        return not self.fired and not self.host_failed


def is_late(over_s: float) -> bool:
    """Whether a call was longer above its budget than is allowed."""
    return over_s > GRACE_S


@dataclass(slots=True)
class Suite:
    """The result of a run on one tier. `seconds` is its wall time."""

    tier: Tier
    verdicts: list[Verdict] = field(default_factory=list)
    footprint_before: Footprint | None = None
    footprint_after: Footprint | None = None
    again: int = 0
    seconds: float = 0.0

    @property
    def growth_bytes(self) -> int:
        """How much more the host holds at the end than after the warm-up."""
        if self.footprint_before is None or self.footprint_after is None:
            return 0
        return self.footprint_after.memory_bytes - self.footprint_before.memory_bytes

    @property
    def failures(self) -> list[Verdict]:
        """What did not hold."""
        return [verdict for verdict in self.verdicts if not verdict.held]

    @property
    def held(self) -> bool:
        """Whether every attack was held, and the host's memory stayed flat."""
        return bool(self.verdicts) and not self.failures and self.growth_bytes <= MAX_GROWTH_BYTES


def as_json(suite: Suite) -> dict[str, Any]:
    """The whole result, JSON-ready: what was counted, then every verdict."""
    result: dict[str, Any] = msgspec.to_builtins(replace(suite, verdicts=[]))
    result |= counts(suite.verdicts)
    result["held"] = suite.held
    result["growth_bytes"] = suite.growth_bytes
    result["verdicts"] = [
        {**msgspec.to_builtins(each), "fired": sorted(each.fired)} for each in suite.verdicts
    ]
    return result


def counts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How many attacks there were, and how many of them did what."""
    return {
        "attacks": len(verdicts),
        "escaped": sum(each.escaped for each in verdicts),
        "poisoned": sum(each.poisoned for each in verdicts),
        "over_budget": sum(each.overran for each in verdicts),
        "host_failures": sum(each.host_failed for each in verdicts),
        "most_over_s": round(max((each.over_s for each in verdicts), default=0.0), 3),
    }
