"""`make bench`, or `python -m o_benchmarks.suite [run|compare]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from o_benchmarks.demo.installation import InstallationError
from o_benchmarks.suite.abort import measure_aborts
from o_benchmarks.suite.comparison import compare
from o_benchmarks.suite.crud import measure_crud
from o_benchmarks.suite.figures import Figures, Report
from o_benchmarks.suite.footprints import measure_memory, measure_starts
from o_benchmarks.suite.generator import GeneratorError, find_generator
from o_benchmarks.suite.growth import measure_population
from o_benchmarks.suite.machine import load_average, machine
from o_benchmarks.suite.outages import measure_outages
from o_benchmarks.suite.streams import measure_streams
from o_benchmarks.suite.tables import print_comparison, print_report
from o_benchmarks.suite.testbed import FULL, QUICK, Extent, Testbed, running_testbed
from o_benchmarks.suite.throughput import measure_turns
from o_benchmarks.suite.variants import measure_genomes, measure_mirrored
from o_benchmarks.suite.weights import measure_weights

DEFAULT_OUT: Final = Path("bench-out")
DEFAULT_BASELINE: Final = Path("benchmarks/baselines/two-cores.json")
REPORT_FILE: Final = "bench.json"
MEASUREMENT_LIMIT_S: Final = 300.0
REMEDY: Final = "this machine is slow or busy; ask for it alone with --only"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A part of the run that can be asked for by name."""

    name: str
    title: str
    measure: Callable[[Testbed], Awaitable[Figures]]
    limit_s: float = MEASUREMENT_LIMIT_S


MEASUREMENTS: Final = (
    Measurement("starts", "first and second start", measure_starts),
    Measurement("turns", "durable turns at 1, 16, 32 and 64, and the raw path", measure_turns),
    Measurement("crud", "requests that the control plane answers", measure_crud),
    Measurement("memory", "memory by process", measure_memory),
    Measurement("genomes", "genome → image → first 200", measure_genomes),
    Measurement("mirrored", "turns while all are mirrored", measure_mirrored),
    Measurement("weights", "new weights → all connections on them", measure_weights),
    Measurement("aborts", "abort → last request at the variant", measure_aborts),
    Measurement("outages", "SIGKILL → next 200", measure_outages),
    # Late: what 2 000 streams took of memory is not all given back, and would count elsewhere.
    Measurement("streams", "first tokens, and 2 000 open streams", measure_streams),
    # Last, as it takes longest; on platforms of its own.
    Measurement(
        "population",
        "turns among few and among many agents and messages",
        measure_population,
        limit_s=1_800,
    ),
)
NAMES: Final = tuple(measurement.name for measurement in MEASUREMENTS)


async def run(chosen: Sequence[str], extent: Extent, console: Console) -> Report:
    """Start a platform, make the chosen measurements in their order, stop it."""
    began = time.monotonic()
    report = Report(machine=machine(), quick=extent.quick)
    generator = await find_generator()
    _tell(console, began, "starting a platform")
    async with running_testbed(generator, extent) as bed:
        for measurement in MEASUREMENTS:
            if measurement.name not in chosen:
                continue
            if time.monotonic() - began > extent.limit_s:
                report.failed[measurement.name] = f"not begun after {extent.limit_s:g} s; {REMEDY}"
            else:
                _tell(console, began, measurement.title)
                await _measure(measurement, bed, report, console)
        _tell(console, began, "stopping it")
    report.machine["load_after"] = load_average()
    report.seconds = round(time.monotonic() - began, 1)
    return report


async def _measure(
    measurement: Measurement, bed: Testbed, report: Report, console: Console
) -> None:
    """Add a measurement's figures; one that fails does not cost the others theirs."""
    try:
        async with asyncio.timeout(measurement.limit_s):
            report.figures |= await measurement.measure(bed)
    except Exception as error:  # noqa: BLE001 - told, kept, and the exit code says so
        report.failed[measurement.name] = f"{type(error).__name__}: {error}"
        console.print_exception()
    else:
        report.measured.append(measurement.name)


def main() -> None:
    """Parse the command line and do what it says."""
    options = _parser().parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        sys.exit(_compare(options, console) if options.command == "compare" else _run(options))
    except (GeneratorError, InstallationError, ValueError) as error:
        sys.exit(f"✗ {error}")


def _run(options: argparse.Namespace) -> int:
    console = Console(width=None if sys.stdout.isatty() else 160)
    progress = Console(stderr=True, highlight=False)
    extent = QUICK if options.quick else FULL
    report = asyncio.run(run(options.only or NAMES, extent, progress))
    report.save(options.out / REPORT_FILE)
    print_report(console, report)
    if options.baseline.exists():
        comparison = compare(report, Report.load(options.baseline))
        print_comparison(console, comparison, str(options.baseline))
    for name, problem in report.failed.items():
        console.print(f"[bold red]✗ {name} failed:[/] {escape(problem)}", highlight=False)
    console.print(f"figures: {options.out / REPORT_FILE}", highlight=False)
    return 1 if report.failed else 0


def _compare(options: argparse.Namespace, console: Console) -> int:
    report = Report.load(options.out / REPORT_FILE)
    comparison = compare(report, Report.load(options.baseline))
    print_comparison(console, comparison, str(options.baseline))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measure the platform, or compare a run with a baseline."
    )
    parser.add_argument("command", nargs="?", choices=("run", "compare"), default="run")
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}"
    )
    parser.add_argument("--quick", action="store_true", help="short windows, few repetitions")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the figures")
    parser.add_argument("--baseline", type=Path, default=DEFAULT_BASELINE, help="report to compare")
    return parser


def _tell(console: Console, began: float, what: str) -> None:
    console.print(f"[dim]{time.monotonic() - began:6.1f} s[/]  {what}")


if __name__ == "__main__":
    main()
