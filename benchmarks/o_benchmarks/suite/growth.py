"""Turns of the same thousand agents on a small platform and on a large one, by turns.

Both are new, and run side by side, so that what else the machine does meets both alike; what each
uses is told by its own processes. The thousand agents have the same histories on both.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from o_benchmarks.suite.figures import Figures, median
from o_benchmarks.suite.histories import add_messages
from o_benchmarks.suite.testbed import Testbed, running_testbed
from o_benchmarks.suite.throughput import (
    KEYED_CONCURRENCY,
    WARM,
    Window,
    summary,
    warm_up,
    window,
)

EACH: Final = 10
"""Messages of each of the thousand agents to begin with."""
ROUNDS: Final = {True: 3, False: 7}
"""Windows on each, if quick and if not."""


@dataclass(frozen=True, slots=True)
class Population:
    """Agents and messages of the large platform."""

    agents: int
    messages: int


LARGE: Final = {
    True: Population(agents=10_000, messages=100_000),
    False: Population(agents=100_000, messages=5_000_000),
}


async def measure_population(bed: Testbed) -> Figures:
    """Windows of turns on a small and on a large platform, alternately; and turns of all agents."""
    size = LARGE[bed.quick]
    async with (
        running_testbed(bed.generator, bed.extent) as small,
        running_testbed(bed.generator, bed.extent) as large,
    ):
        few = await _filled(small, Population(WARM, WARM * EACH))
        many = await _filled(large, size)
        small_roots, large_roots = await small.roots(), await large.roots()
        taken: dict[str, list[Window]] = {"small": [], "large": []}
        for _ in range(ROUNDS[bed.quick]):
            for name, place, roots, agents in (
                ("small", small, small_roots, few),
                ("large", large, large_roots, many),
            ):
                load = await window(place, place.base_url, roots, agents, KEYED_CONCURRENCY)
                taken[name].append(load)
        everyone = await large.agents(size.agents)
        cold = await window(large, large.base_url, large_roots, everyone, KEYED_CONCURRENCY)
    figures = summary("population.cold", [cold])
    for name, windows in taken.items():
        figures |= summary(f"population.{name}", windows)
    figures["population.large_to_small.cpu_us_ratio"] = _ratio(taken["large"], taken["small"])
    figures["population.large_to_small.generator_us_ratio"] = median(
        [w.load.cpu_us / w.load.answered for w in taken["large"]]
    ) / median([w.load.cpu_us / w.load.answered for w in taken["small"]])
    return figures


async def _filled(bed: Testbed, size: Population) -> Path:
    """Agents and messages so many, and turns of the thousand agents once; those turns' requests."""
    few = await bed.agents(WARM)
    installation = bed.installation
    ids = await bed.agent_ids(size.agents)
    url, vault = installation.database_url, installation.vault
    await asyncio.to_thread(add_messages, url, vault, ids[:WARM], WARM * EACH)
    rest = size.messages - WARM * EACH
    if rest:
        await asyncio.to_thread(add_messages, url, vault, ids[WARM:], rest)
    await warm_up(bed, few)
    return few


def _ratio(large: list[Window], small: list[Window]) -> float:
    """Of the medians of CPU time per turn."""
    return median(list(map(_cpu_us, large))) / median(list(map(_cpu_us, small)))


def _cpu_us(taken: Window) -> float:
    return sum(taken.cpu_us.values()) / taken.load.answered
