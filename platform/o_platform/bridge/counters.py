"""What the bridge counts, for `stats` on its control socket."""

from __future__ import annotations

from dataclasses import dataclass, field

from o_contracts.control import BridgeStats


@dataclass(slots=True)
class Counters:
    """Totals since the start of the process; `open_turns` is a present value."""

    open_turns: int = 0
    opened: int = 0
    joined: int = 0
    answered_from_record: int = 0
    resumed: int = 0
    fenced: int = 0
    committed: int = 0
    batches: int = 0
    retried_alone: int = 0
    refused: int = 0
    context_hits: int = 0
    context_misses: int = 0
    llm_calls: int = 0
    llm_from_journal: int = 0
    tool_calls: int = 0
    host_calls: int = 0
    malformed: dict[str, int] = field(default_factory=dict)

    def snapshot(self) -> BridgeStats:
        """The counts as they go over the wire."""
        return BridgeStats(**{name: getattr(self, name) for name in BridgeStats.__struct_fields__})
