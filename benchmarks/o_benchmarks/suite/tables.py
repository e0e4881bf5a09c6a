"""What is printed at the end of a run: the load, everything else by name, targets, comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from o_benchmarks.suite.comparison import Comparison
from o_benchmarks.suite.figures import TARGETS, Figures, Report, rounded

_COLUMNS = ("rps", "p50_ms", "p99_ms", "failed", "cpu_us")
_STYLES = {"better": "green", "worse": "red", "same": "dim"}


def print_report(console: Console, report: Report, title: str = "make bench") -> None:
    """Print all figures of a run, and whether the targets hold."""
    machine = report.machine
    console.rule(title)
    console.print(
        f"{machine.get('cpus')} CPUs ({machine.get('model')}), load average before "
        f"{machine.get('load_before')}, after {machine.get('load_after')}; "
        f"took {report.seconds:.0f} s",
        highlight=False,
    )
    loads = _loads(report.figures)
    if loads:
        console.print(_load_table(report.figures, loads))
    console.print(_other_table(report.figures, loads))
    console.print(_target_table(report.figures))


def print_comparison(console: Console, comparison: Comparison, name: str) -> None:
    """Print each figure beside the baseline's."""
    console.rule(f"against {name}")
    table = Table("figure", box=None)
    for title in ("baseline", "now", "ratio"):
        table.add_column(title, justify="right")
    for change in comparison.changes:
        ratio = "–" if change.ratio is None else f"{change.ratio:.2f}"
        values = (f"{rounded(value):g}" for value in (change.baseline, change.now))
        table.add_row(change.figure, *values, ratio, style=_STYLES[change.verdict])
    console.print(table)
    for title, names in (
        ("only in this run", comparison.only_now),
        ("only in the baseline", comparison.only_baseline),
    ):
        if names:
            console.print(f"{title}: {', '.join(names)}", style="dim", highlight=False)


def _loads(figures: Figures) -> list[str]:
    """Prefixes of the figures that come from windows of load, such as `turns.c32`."""
    return [name.removesuffix(".rps") for name in figures if name.endswith(".rps")]


def _load_table(figures: Figures, prefixes: Sequence[str]) -> Table:
    processes = list(_processes(figures, prefixes))
    table = Table("load", box=None, title="under load; CPU µs per turn, in all and by process")
    for title in (*_COLUMNS, *processes, "generator"):
        table.add_column(title.removesuffix("_us"), justify="right")
    for prefix in prefixes:
        names = (*_COLUMNS, *(f"{process}_us" for process in processes), "generator_us")
        table.add_row(prefix, *(_shown(figures, f"{prefix}.{name}") for name in names))
    return table


def _processes(figures: Figures, prefixes: Sequence[str]) -> Iterator[str]:
    seen = {"cpu", "generator"}
    for prefix in prefixes:
        for name in figures:
            process = name.removeprefix(f"{prefix}.").removesuffix("_us")
            if name == f"{prefix}.{process}_us" and process not in seen:
                seen.add(process)
                yield process


def _other_table(figures: Figures, loads: Sequence[str]) -> Table:
    shown = {f"{prefix}." for prefix in loads}
    table = Table("figure", box=None)
    table.add_column("value", justify="right")
    for name, value in figures.items():
        if not any(name.startswith(prefix) for prefix in shown):
            table.add_row(name, f"{rounded(value):g}")
    return table


def _target_table(figures: Mapping[str, float]) -> Table:
    table = Table("target", box=None)
    for title in ("wanted", "measured", ""):
        table.add_column(title, justify="right")
    for target in TARGETS:
        value = figures.get(target.figure)
        if value is None:
            continue
        sign = "≥" if target.more_is_better else "≤"
        verdict = "[green]holds[/]" if target.holds(value) else "[red]missed[/]"
        table.add_row(target.figure, f"{sign} {target.limit:g}", f"{rounded(value):g}", verdict)
    return table


def _shown(figures: Figures, name: str) -> str:
    value = figures.get(name)
    return "" if value is None else f"{rounded(value):g}"
