"""Memory by process after load, and how long starts take."""

from __future__ import annotations

import asyncio

from o_benchmarks.suite.figures import Figures
from o_benchmarks.suite.processes import footprint
from o_benchmarks.suite.testbed import Testbed

_MB = 1024 * 1024


async def measure_memory(bed: Testbed) -> Figures:
    """PSS of every process with its children, after load."""
    return await _sizes(bed, "memory")


async def measure_starts(bed: Testbed) -> Figures:
    """The first start, with an empty home, and a second one; memory after it, before any load."""
    await bed.installation.down()
    seconds = {"start.first_s": bed.started_s, "start.second_s": await bed.up()}
    return seconds | await _sizes(bed, "idle")


async def _sizes(bed: Testbed, prefix: str) -> Figures:
    roots = await bed.roots() | {"supervisor": await bed.supervisor_pid()}
    sizes = {
        name: (await asyncio.to_thread(footprint, pid)).pss / _MB
        for name, pid in roots.items()
        if name != "supervisor"
    }
    supervisor = await asyncio.to_thread(footprint, roots["supervisor"], with_children=False)
    sizes["supervisor"] = supervisor.pss / _MB
    figures = {f"{prefix}.{name}_mb": size for name, size in sizes.items()}
    return figures | {f"{prefix}.platform_mb": sum(sizes.values())}
