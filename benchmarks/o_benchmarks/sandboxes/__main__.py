"""`make bench-sandbox`, `o sandbox bench`: what calls cost in each tier, and beside what rivals.

Only ratios within a run mean something on a machine that does other work too.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from o_benchmarks.sandboxes.measures import (
    measure_first_use,
    measure_idle,
    measure_latency,
    measure_row,
    measure_sustained,
)
from o_benchmarks.sandboxes.rivals import process_call, rivals
from o_benchmarks.suite.figures import Report, Target, rounded
from o_benchmarks.suite.machine import load_average, machine

TARGETS: Final = {
    target.figure: target
    for target in (
        Target("wasm.warm.p50_ms", 0.5),
        Target("wasm.warm.p99_ms", 2),
        Target("wasm.cold.p50_ms", 4),
        Target("restricted.p50_ms", 0.15),
        Target("wasm.two_engines.rps", 450),
        Target("wasm.idle_mb", 1),
        Target("first_use.empty.start_s", 15),
        Target("first_use.again.load_ms", 50),
        Target("row.grown_mb", 5),
        Target("row.grown_descriptors", 0),
        Target("row.grown_threads", 0),
    )
}
"""For two quiet cores. Memory that moves by less than the allocator's ups and downs is flat."""


async def run(*, quick: bool) -> Report:
    """Make every measurement."""
    began = time.monotonic()
    report = Report(machine=machine(), quick=quick)
    report.figures |= await measure_first_use()
    async with rivals() as found:
        others = {"subprocess": process_call, **found.calls}
        report.figures |= await measure_latency(10 if quick else 100, others)
    report.failed |= found.left_out
    report.figures |= await measure_sustained(3.0 if quick else 15.0)
    report.figures |= await measure_idle()
    report.figures |= await measure_row(500 if quick else 10_000)
    report.machine["load_after"] = load_average()
    report.seconds = round(time.monotonic() - began, 1)
    return report


def show(report: Report, console: Console) -> None:
    """Print every figure, and whether its target holds."""
    table = Table("figure", box=None)
    for title in ("measured", "wanted", ""):
        table.add_column(title, justify="right")
    for name, value in report.figures.items():
        target = TARGETS.get(name)
        wanted = held = ""
        if target is not None:
            wanted = f"{'≥' if target.more_is_better else '≤'} {target.limit:g}"
            held = "[green]holds[/]" if target.holds(value) else "[red]missed[/]"
        table.add_row(name, f"{rounded(value):g}", wanted, held)
    console.print(table)
    for name, why in report.failed.items():
        console.print(f"left out: {name}: {why}", highlight=False, markup=False)
    console.print(f"{report.machine} in {report.seconds:.0f} s", highlight=False)


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(prog="o sandbox bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder of the figures")
    options = parser.parse_args()
    report = asyncio.run(run(quick=options.quick))
    report.save(options.out / "sandboxes.json")
    show(report, Console())


if __name__ == "__main__":
    main()
