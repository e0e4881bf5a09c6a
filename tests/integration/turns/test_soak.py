"""What is held grows no more once everything has been used; `o_benchmarks.soak` looks longer."""

from __future__ import annotations

import httpx
import pytest
from tests.integration.turns.conftest import TurnPlatform

from o_benchmarks.soak.levels import growth, level
from o_benchmarks.soak.turns import Soak

pytestmark = pytest.mark.integration

PART = 120
PARTS = 4
MOST_MB = 8.0
"""Growth of one process over 240 turns; a leak of 40 kB per turn is more."""
MOST_DESCRIPTORS = 12
"""… of which each of the 8 clients may cost one while something is being closed."""


async def test_five_hundred_turns_leave_nothing_behind(platform: TurnPlatform) -> None:
    roots = {name: process.pid for name, process in platform.processes.items()}
    (handle,) = platform.handles()
    roots["instance"] = int(handle.partition(":")[0])
    async with httpx.AsyncClient(base_url=platform.http.base_url) as client:
        load = Soak(client)
        await load.prepare()
        levels = [level(0, roots, platform.url)]
        for part in range(1, PARTS + 1):
            await load.send(PART)
            levels.append(level(part * PART, roots, platform.url))
    grown = growth(levels)
    limits = {"connections": 4, "mb": MOST_MB, "descriptors": MOST_DESCRIPTORS}
    assert {n: g for n, g in grown.items() if g > limits[n.rpartition("_")[2]]} == {}, levels
    assert all(levels[-1].memory.values())
    assert all(levels[-1].descriptors.values())
