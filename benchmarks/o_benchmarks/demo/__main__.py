"""Runs the demo; exit code 0 only if everything was as it must be."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from o_benchmarks.demo.bait import Trap
from o_benchmarks.demo.installation import Installation, temporary_home
from o_benchmarks.demo.ledger import Ledger
from o_benchmarks.demo.load import SteadyLoad
from o_benchmarks.demo.proposals import write_script
from o_benchmarks.demo.report import Findings, print_report
from o_benchmarks.demo.story import Story

AFTERMATH_S = 2.0
WARM_UP_TURNS = 10


async def demonstrate(agents: int, rate: float, folder: Path, console: Console) -> int:
    """The whole demo; returns the exit code."""
    began = time.monotonic()
    with temporary_home() as home:
        trap = Trap(home)
        script = home / "proposals.yaml"
        write_script(await trap.set(), script)
        installation = Installation(home / "h", script)
        try:
            await installation.up()
            return await _under_load(installation, trap, agents, rate, folder, console, began)
        finally:
            await installation.down()
            await trap.close()


async def _under_load(
    installation: Installation,
    trap: Trap,
    agents: int,
    rate: float,
    folder: Path,
    console: Console,
    began: float,
) -> int:
    load = SteadyLoad(installation.base_url, agents, rate)
    console.print(f"{agents} agents, a conversation of {WARM_UP_TURNS} turns with each first …")
    await load.prepare()
    await load.warm_up(WARM_UP_TURNS)
    console.print(
        f"now {rate:g} turns per second through Envoy; policy [bold]demo[/]: small samples and "
        "wide limits, so that each rollout takes a minute"
    )
    since = datetime.now(UTC)
    async with installation.operator() as api:
        story = Story(installation, api, console)
        running = asyncio.create_task(load.run())
        try:
            await story.run()
            await asyncio.sleep(AFTERMATH_S)
        finally:
            load.stop()
            await running
    ledger = Ledger(installation.database_url, installation.vault)
    findings = Findings(
        sent=load.tally.sent,
        answered=load.tally.ok,
        failed=len(load.tally.failures),
        committed=ledger.committed_turns(),
        duplicated=ledger.duplicated_turns(),
        p50_ms=round(load.tally.percentile_ms(0.5), 2),
        p99_ms=round(load.tally.percentile_ms(0.99), 2),
        leaked=trap.taken([str(story.evidence), *ledger.replies()]),
        outcomes=story.outcomes(),
        seconds=round(time.monotonic() - began, 1),
    )
    memory: list[dict[str, Any]] = ledger.passages()
    await load.close()
    print_report(console, folder, story, load.tally, findings, ledger.shares(since), memory)
    return 1 if findings.problems else 0


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--agents", type=int, default=200, help="agents under load")
    parser.add_argument("--rate", type=float, default=60.0, help="turns per second")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder of the report")
    options = parser.parse_args()
    console = Console()
    sys.exit(asyncio.run(demonstrate(options.agents, options.rate, options.out, console)))


if __name__ == "__main__":
    main()
