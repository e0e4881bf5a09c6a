"""What commands print: steps with seconds, tables, JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import typer


def say(message: str = "") -> None:
    """One line to the user."""
    typer.echo(message)


def warn(message: str) -> None:
    """One line that must not be overlooked, on stderr."""
    typer.secho(f"! {message}", fg=typer.colors.YELLOW, bold=True, err=True)


def done(what: str, seconds: float, detail: str = "") -> None:
    """One step that succeeded."""
    mark = typer.style("✓", fg=typer.colors.GREEN)
    say(f"{mark} {what:<26}{seconds:6.1f} s{f'   {detail}' if detail else ''}")


def failed(what: str, detail: str) -> None:
    """One step that did not succeed."""
    typer.echo(f"{typer.style('✗', fg=typer.colors.RED)} {what:<26}   {detail}", err=True)


class Step:
    """A step under way; set `detail` to say more about it."""

    def __init__(self) -> None:
        """Nothing more to say yet."""
        self.detail = ""


@contextmanager
def step(what: str) -> Iterator[Step]:
    """Show a step while it runs (on a terminal), and its seconds when it has succeeded."""
    began, current = time.perf_counter(), Step()
    live = sys.stdout.isatty()
    if live:
        typer.echo(f"· {what} …", nl=False)
    try:
        yield current
    finally:
        if live:
            typer.echo("\r\033[K", nl=False)
    done(what, time.perf_counter() - began, current.detail)


def print_json(value: object) -> None:
    """`value` as indented JSON."""
    say(json.dumps(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under column titles; empty rows say so."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    typer.secho(_line(columns, widths), bold=True)
    if not texts:
        say("(none)")
    for row in texts:
        say(_line(row, widths))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def _cell(value: object) -> str:
    return "–" if value is None or value == "" else str(value)


def short_digest(digest: str | None) -> str:
    """The first twelve digits of a variant's digest: enough to name it."""
    return digest[:12] if digest else "–"


def ago(moment: str | None) -> str:
    """How long ago an ISO timestamp is, in words."""
    if not moment:
        return "–"
    then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return f"{duration((datetime.now(UTC) - then).total_seconds())} ago"


def duration(seconds: float | None) -> str:
    """Seconds in words: `4.2 s`, `3 min`, `5 h`, `2 d`."""
    if seconds is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def megabytes(size_bytes: int | None) -> str:
    """Bytes as MB."""
    return "–" if size_bytes is None else f"{size_bytes / 1e6:.0f} MB"


def first_line(value: Any) -> str:
    """The first line of a text."""
    return str(value or "").strip().split("\n", 1)[0]
