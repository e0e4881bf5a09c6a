"""An attempt as a text that later proposers read, and the lesson drawn from it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_DIFF_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What is remembered of one attempt. `measured` maps metric to change in percent."""

    attempt_id: str
    variant: str | None
    operator: str
    risk: str
    hypothesis: str
    predicted: Mapping[str, Any]
    measured: Mapping[str, Any]
    outcome: str
    stopped_by: str | None
    reason: str
    diff: str


def lesson(record: AttemptRecord) -> str:
    """One sentence a later proposer can act on."""
    if record.outcome == "promoted":
        return f"It helped or did no harm, and is now stable. {_prediction(record)}"
    if record.stopped_by is not None:
        return f"The gate {record.stopped_by} stopped it: {record.reason}"
    return f"It ended as {record.outcome}: {record.reason}"


def passage_text(record: AttemptRecord) -> str:
    """The passage that goes into the lineage's archival memory."""
    variant = record.variant[:12] if record.variant else "none (it never became a variant)"
    diff = record.diff
    if len(diff) > MAX_DIFF_CHARS:
        diff = f"{diff[:MAX_DIFF_CHARS]}\n… ({len(record.diff) - MAX_DIFF_CHARS} more characters)"
    lines = [
        f"Attempt {record.attempt_id} ({record.operator}, risk class {record.risk}): "
        f"{record.outcome}",
        f"Variant: {variant}",
        f"Hypothesis: {record.hypothesis}",
        f"Predicted: {_predicted_text(record.predicted)}",
        f"Measured: {_measured_text(record.measured)}",
        f"Lesson: {lesson(record)}",
        "Change:",
        diff or "(no difference)",
    ]
    return "\n".join(lines)


def passage_tags(record: AttemptRecord) -> list[str]:
    """Tags under which the passage is found again: outcome, gate, risk class, operator."""
    tags = ["attempt", f"outcome:{record.outcome}", f"risk:{record.risk}", f"by:{record.operator}"]
    if record.stopped_by is not None:
        tags.append(f"gate:{record.stopped_by}")
    return tags


def _prediction(record: AttemptRecord) -> str:
    metric = str(record.predicted.get("metric", ""))
    measured = record.measured.get(metric)
    if not isinstance(measured, int | float):
        return f"The predicted effect on {metric or 'its metric'} was not measured."
    return (
        f"Predicted {_percent(record.predicted.get('change_percent', 0.0))} on {metric}, "
        f"measured {_percent(measured)}."
    )


def _predicted_text(predicted: Mapping[str, Any]) -> str:
    if not predicted:
        return "nothing"
    return f"{predicted.get('metric')} {_percent(predicted.get('change_percent', 0.0))}"


def _measured_text(measured: Mapping[str, Any]) -> str:
    changes = [
        f"{name} {_percent(value)}"
        for name, value in sorted(measured.items())
        if isinstance(value, int | float)
    ]
    return ", ".join(changes) or "nothing (it was stopped before it could be measured)"


def _percent(value: Any) -> str:
    return f"{float(value):+.1f} %"
