"""Memory by process after load, and how long starts take."""

from __future__ import annotations

import asyncio

from o_benchmarks.suite.figures import Figures
from o_benchmarks.suite.processes import footprint
from o_benchmarks.suite.testbed import Testbed

_MB = 1024 * 1024


async def measure_memory(bed: Testbed) -> Figures:
    """PSS of every process with its children."""
    roots = await bed.roots() | {"supervisor": await bed.supervisor_pid()}
    sizes = {
        name: (await asyncio.to_thread(footprint, pid)).pss / _MB
        for name, pid in roots.items()
        if name != "supervisor"
    }
    supervisor = await asyncio.to_thread(footprint, roots["supervisor"], with_children=False)
    sizes["supervisor"] = supervisor.pss / _MB
    figures = {f"memory.{name}_mb": size for name, size in sizes.items()}
    return figures | {"memory.platform_mb": sum(sizes.values())}


async def measure_starts(bed: Testbed) -> Figures:
    """The first start, with an empty home, and a second one."""
    await bed.installation.down()
    return {"start.first_s": bed.started_s, "start.second_s": await bed.up()}
