"""One rollout as its controller holds it between reading the row and writing it again.

Steering a rollout needs no statistics, so the evidence stays in its stored form here: a control
plane that was just started must be able to abort at once, before what judges evidence is there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from o_platform.db.models import Rollout
from o_platform.rollout.observations import LogMark
from o_platform.rollout.policy import Policy, parse_policy
from o_platform.rollout.states import Intent, State


@dataclass(slots=True)
class Case:
    """What the row says, parsed. `evidence` and `mark` change during a look."""

    rollout_id: str
    lineage: str
    candidate: str
    """Digest of the variant on trial."""
    baseline: str
    """Digest of the stable variant when it began."""
    policy: Policy
    state: State
    version: int
    """Grows with every write; a decision on an older one is thrown away."""
    intent: Intent | None
    by: str
    """Who asked for the intent."""
    canary_instance: str | None
    shadow_instance: str | None
    finished: bool
    evidence: dict[str, Any] | None = None
    """`evidence.Evidence` as JSON."""
    mark: LogMark | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
    uncompared: str = ""
    """Why nothing runs that the promoted candidate can be compared with; empty: it does."""

    @classmethod
    def of(cls, row: Rollout) -> Case:
        """Read a row."""
        data = row.data
        mark = data.get("mark")
        return cls(
            rollout_id=row.id,
            lineage=row.lineage,
            candidate=row.variant,
            baseline=row.baseline,
            policy=parse_policy(row.policy),
            state=msgspec.convert(data["state"], State),
            version=data["version"],
            intent=Intent(row.intent) if row.intent else None,
            by=data.get("by", ""),
            canary_instance=row.canary_instance,
            shadow_instance=row.shadow_instance,
            finished=row.finished_at is not None,
            evidence=data.get("evidence"),
            mark=None if mark is None else LogMark.from_json(mark),
            numbers=data.get("numbers", {}),
            uncompared=data.get("uncompared", ""),
        )

    def data(self, state: State) -> dict[str, Any]:
        """The row's `data` in `state`, as the next version."""
        return {
            "state": msgspec.to_builtins(state),
            "version": self.version + 1,
            "by": self.by,
            "evidence": self.evidence,
            "mark": None if self.mark is None else asdict(self.mark),
            "numbers": self.numbers,
            "uncompared": self.uncompared,
        }


def first_data(state: State) -> dict[str, Any]:
    """The `data` of a new row."""
    return {"state": msgspec.to_builtins(state), "version": 0}
