"""The traffic share of each variant over time, as a picture and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from rich.text import Text

matplotlib.use("Agg")

WIDTH = 72
HEIGHT = 10
COLOURS = ("green", "cyan", "magenta", "yellow", "red", "blue")
GLYPHS = "█▒▓░▚▞"
"""A glyph each, too: a log has no colours."""


@dataclass(frozen=True, slots=True)
class ShareSeries:
    """Turns per second by variant: `seconds` and each list of `turns` have the same length."""

    seconds: Sequence[float]
    turns: Mapping[str, Sequence[int]]

    def shares(self) -> dict[str, list[float]]:
        """Share of each variant in each second, 0 … 1 (0 in a second without turns)."""
        totals = [sum(column) for column in zip(*self.turns.values(), strict=True)]
        return {
            name: [
                count / total if total else 0.0 for count, total in zip(counts, totals, strict=True)
            ]
            for name, counts in self.turns.items()
        }


def save_png(
    series: ShareSeries, marks: Sequence[tuple[float, str]], labels: Mapping[str, str], path: Path
) -> None:
    """Draw the shares as a stacked area; `marks` are (second, text) of what happened."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    shares = series.shares()
    axes.stackplot(
        series.seconds,
        *([100 * share for share in shares[name]] for name in shares),
        labels=[labels.get(name, name[:12]) for name in shares],
        step="post",
        alpha=0.85,
    )
    for number, (second, text) in enumerate(marks):
        axes.axvline(second, color="black", linewidth=0.7, alpha=0.5)
        axes.annotate(
            text, (second, 98 - 6 * (number % 8)), fontsize=7, rotation=0, ha="left", va="top"
        )
    axes.set(xlabel="seconds", ylabel="share of live turns, %", ylim=(0, 100))
    axes.set_title("Live traffic by variant (answered by; mirrored copies not counted)")
    axes.legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=110)


def terminal_chart(series: ShareSeries, labels: Mapping[str, str]) -> Text:
    """The same as stacked blocks, `WIDTH` columns wide, one colour a variant."""
    shares = series.shares()
    colours = dict(zip(shares, COLOURS * len(shares), strict=False))
    glyphs = dict(zip(shares, GLYPHS * len(shares), strict=False))
    chart = Text()
    columns = _columns(shares, len(series.seconds))
    for row in range(HEIGHT, 0, -1):
        level = (row - 0.5) / HEIGHT
        chart.append(f"{round(100 * row / HEIGHT):4d} % ")
        for column in columns:
            name = _variant_at(column, level)
            chart.append(glyphs.get(name or "", " "), style=colours.get(name or "", "default"))
        chart.append("\n")
    span = series.seconds[-1] - series.seconds[0] if series.seconds else 0
    chart.append(f"       0 s{f'{span:.0f} s':>{WIDTH - 3}}\n       ")
    for name in shares:
        chart.append(f"{glyphs[name]} ", style=colours[name]).append(
            labels.get(name, name[:12]) + "   "
        )
    return chart


def _columns(shares: Mapping[str, Sequence[float]], length: int) -> list[dict[str, float]]:
    width = min(WIDTH, max(length, 1))
    bounds = [round(number * length / width) for number in range(width + 1)]
    return [
        {name: sum(values[low:high]) / max(1, high - low) for name, values in shares.items()}
        for low, high in zip(bounds, bounds[1:], strict=False)
    ]


def _variant_at(column: Mapping[str, float], level: float) -> str | None:
    reached = 0.0
    for name, share in column.items():
        reached += share
        if level <= reached:
            return name
    return None
