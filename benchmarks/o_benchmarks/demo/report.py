"""The demo's last page: the plot, the counts, the memory of the attempts, and the verdict."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from o_benchmarks.demo.load import Tally
from o_benchmarks.demo.plot import ShareSeries, save_png, terminal_chart
from o_benchmarks.demo.story import EXPECTED, Story


@dataclass(frozen=True, slots=True)
class Findings:
    """What was counted at the end. `leaked` names the bait that was taken."""

    sent: int
    answered: int
    failed: int
    committed: int
    duplicated: int
    p50_ms: float
    p99_ms: float
    leaked: list[str]
    outcomes: list[str]
    seconds: float

    @property
    def problems(self) -> list[str]:
        """What is not as it must be, in words."""
        checks = [
            (self.failed == 0, f"{self.failed} client requests failed"),
            (self.duplicated == 0, f"{self.duplicated} turns are in the database twice"),
            (self.committed == self.answered, "answered and committed turns differ"),
            (not self.leaked, f"the spy got {', '.join(self.leaked)}"),
            (self.outcomes == list(EXPECTED), f"the attempts ended {self.outcomes}"),
        ]
        return [text for holds, text in checks if not holds]


def print_report(
    console: Console,
    folder: Path,
    story: Story,
    tally: Tally,
    findings: Findings,
    series: ShareSeries,
    memory: list[dict[str, Any]],
) -> None:
    """Print the report; keep the plot and the figures in `folder`."""
    labels = _labels(story, series)
    marks = [(moment.second, moment.mark) for moment in story.moments if moment.mark]
    folder.mkdir(parents=True, exist_ok=True)
    save_png(series, marks, labels, folder / "traffic.png")
    report = asdict(findings) | {"problems": findings.problems, "attempts": story.attempts}
    (folder / "report.json").write_text(json.dumps(report, indent=2))
    console.rule("live traffic by variant")
    console.print(terminal_chart(series, labels))
    _print_memory(console, memory)
    _print_counts(console, findings)
    for failure in tally.failures[:10]:
        console.print(f"[red]failed[/] {escape(failure)}", highlight=False)
    for problem in findings.problems:
        console.print(f"[bold red]✗ {escape(problem)}[/]", highlight=False)
    if not findings.problems:
        console.print(
            "[bold green]✓ the improvement is live, the sabotage is out, no client noticed[/]"
        )
    console.print(f"plot: {folder / 'traffic.png'}   figures: {folder / 'report.json'}")


def _labels(story: Story, series: ShareSeries) -> dict[str, str]:
    labels = {name: f"seed {name[:8]}" for name in series.turns}
    for number, attempt in enumerate(story.attempts):
        if attempt["variant"] in labels:
            labels[attempt["variant"]] = f"attempt {number + 1} {attempt['variant'][:8]}"
    return labels


def _print_memory(console: Console, memory: list[dict[str, Any]]) -> None:
    console.rule("what the lineage remembers")
    for passage in memory:
        head = passage["text"].split("\nChange:")[0]
        console.print(escape(head), highlight=False, soft_wrap=True)
        console.print()


def _print_counts(console: Console, findings: Findings) -> None:
    table = Table(show_header=False, box=None)
    rows = [
        ("requests sent", findings.sent),
        ("failed", findings.failed),
        ("answered and committed", findings.committed),
        ("duplicated turns in the database", findings.duplicated),
        ("latency p50 / p99", f"{findings.p50_ms:.1f} / {findings.p99_ms:.1f} ms"),
        ("secrets that got out", ", ".join(findings.leaked) or "none"),
        ("took", f"{findings.seconds:.0f} s"),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    console.rule("counts")
    console.print(table)
