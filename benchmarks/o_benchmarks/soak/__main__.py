"""`python -m o_benchmarks.soak [--turns 10000]`: on a platform of its own; prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any, Final

from o_benchmarks.soak.levels import Level, growth, level
from o_benchmarks.soak.turns import Soak
from o_benchmarks.suite.testbed import FULL, Testbed, running_testbed

PARTS: Final = 10
"""What is held is looked at after each."""


async def soak(bed: Testbed, turns: int) -> list[Level]:
    """Send the turns; what was held before them and after each part of them."""
    roots = await bed.roots()
    url = bed.installation.database_url
    async with bed.operator() as client:
        load = Soak(client)
        await load.prepare()
        levels = [await asyncio.to_thread(level, 0, roots, url)]
        for part in range(1, PARTS + 1):
            await load.send(turns // PARTS)
            levels.append(await asyncio.to_thread(level, part * turns // PARTS, roots, url))
    return levels


async def _run(turns: int) -> dict[str, Any]:
    async with running_testbed("", FULL) as bed:
        began = time.monotonic()
        levels = await soak(bed, turns)
    return {
        "turns": turns,
        "seconds": round(time.monotonic() - began, 1),
        "levels": [
            {
                "turns": one.turns,
                "mb": {name: round(size / 2**20, 1) for name, size in one.memory.items()},
                "descriptors": dict(one.descriptors),
                "connections": one.connections,
            }
            for one in levels
        ],
        "growth": {name: round(value, 1) for name, value in growth(levels).items()},
    }


def main() -> int:
    """Soak, and print what was held; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m o_benchmarks.soak", description=__doc__)
    parser.add_argument("--turns", type=int, default=10_000)
    figures = asyncio.run(_run(parser.parse_args().turns))
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
