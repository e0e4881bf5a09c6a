"""`python -m o_benchmarks.memory [sealing|recall|archival …]`: a table, targets, and JSON."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from o_benchmarks.memory.archival import archival
from o_benchmarks.memory.recall import conversation
from o_benchmarks.memory.sealing import sealing
from o_benchmarks.suite.figures import Figures, Report
from o_benchmarks.suite.machine import load_average, machine
from o_benchmarks.suite.tables import print_report
from o_platform.testing.postgres import running_server, short_folder

DEFAULT_OUT: Final = Path("bench-out")
DEFAULT_FOLDER: Final = Path("/var/tmp/o-benchmarks")  # noqa: S108 - it is to outlive a restart
REPORT_FILE: Final = "memory.json"
PASSAGES: Final = 1_000_000
MESSAGES: Final = 100_000


def _sealing(options: argparse.Namespace) -> Figures:
    with short_folder() as folder, running_server(folder) as server:
        figures = asyncio.run(sealing(server.url_of("bench_sealing")))
    return {f"sealing.{name}": value for name, value in figures.items()}


def _recall(options: argparse.Namespace) -> Figures:
    return asyncio.run(conversation(options.folder, options.messages))


def _archival(options: argparse.Namespace) -> Figures:
    return asyncio.run(archival(options.folder, options.passages))


_ALL: Final[dict[str, Callable[[argparse.Namespace], Figures]]] = {
    "sealing": _sealing,
    "recall": _recall,
    "archival": _archival,
}


def main() -> int:
    """Measure what is named, or everything; the exit code."""
    options = _parser().parse_args()
    began, report = time.monotonic(), Report(machine=machine())
    for name in options.names or _ALL:
        report.figures |= _ALL[name](options)
        report.measured.append(name)
    report.machine["load_after"] = load_average()
    report.seconds = round(time.monotonic() - began, 1)
    report.save(options.out / REPORT_FILE)
    console = Console(width=None if sys.stdout.isatty() else 160)
    print_report(console, report, "python -m o_benchmarks.memory")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m o_benchmarks.memory", description="Measure what memory costs."
    )
    parser.add_argument("names", nargs="*", choices=[*_ALL], help=f"of {', '.join(_ALL)}")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the figures")
    parser.add_argument(
        "--folder", type=Path, default=DEFAULT_FOLDER, help="where large archives are kept"
    )
    parser.add_argument(
        "--passages", type=int, default=PASSAGES, help="size of the archive that is searched"
    )
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="length of the conversation that is searched"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
