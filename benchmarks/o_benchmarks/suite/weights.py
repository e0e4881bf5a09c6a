"""How fast new weights are in force: on the raw path, with connections that stay open.

Many clients keep one connection each and ask at a steady rate. Then every agent is moved to the
canary in one change. What counts is the last request, on any connection, that still went to the
stable app, in milliseconds since the change was begun (rendering included).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from o_benchmarks.suite.clients import Client, turn
from o_benchmarks.suite.figures import Figures, median
from o_benchmarks.suite.raw_path import STABLE, RawPath, raw_path
from o_benchmarks.suite.testbed import Testbed
from o_contracts.ids import DEFAULT_LINEAGE_KEY, new_agent_id

CONNECTIONS: Final = 64
INTERVAL_S: Final = 0.04
"""Between two requests of one connection; all together send one every 0.6 ms."""
BEFORE_S: Final = 0.2
AFTER_S: Final = 0.3
CHANGES_PER_REPETITION: Final = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """A request and who answered it; `sent_s` on the clock of `perf_counter`."""

    sent_s: float
    by: str


async def measure_weights(bed: Testbed) -> Figures:
    """Move all agents at once, several times."""
    moved, confirmed = [], []
    async with raw_path(bed.folder("weights")) as path:
        for _ in range(CHANGES_PER_REPETITION * bed.extent.repetitions):
            await path.move(0)
            began, ended, seen = await _change(path)
            stale = [request.sent_s for request in seen if request.by == STABLE]
            moved.append(max(0.0, max(stale) - began) * 1000)
            confirmed.append((ended - began) * 1000)
    return {
        "weights.all_moved_ms": median(moved),
        "weights.all_moved_max_ms": max(moved),
        "weights.confirmed_ms": median(confirmed),
    }


async def _change(path: RawPath) -> tuple[float, float, list[Seen]]:
    """Begin and end of a change, and all requests around it."""
    seen: list[Seen] = []
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for place in range(CONNECTIONS):
            delay_s = place * INTERVAL_S / CONNECTIONS
            tasks.create_task(_ask_often(path, delay_s, stopping, seen))
        await asyncio.sleep(BEFORE_S)
        began = time.perf_counter()
        await path.move_all()
        ended = time.perf_counter()
        await asyncio.sleep(AFTER_S)
        stopping.set()
    return began, ended, seen


async def _ask_often(
    path: RawPath, delay_s: float, stopping: asyncio.Event, seen: list[Seen]
) -> None:
    client = Client(path.address)
    request = turn(new_agent_id(DEFAULT_LINEAGE_KEY), "hello")
    await asyncio.sleep(delay_s)
    while not stopping.is_set():
        sent_s = time.perf_counter()
        answer = await client.ask(request)
        seen.append(Seen(sent_s, answer.body.decode()))
        await asyncio.sleep(INTERVAL_S)
    client.close()
