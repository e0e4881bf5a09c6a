"""SIGKILL of one process after the other, under a steady load: until the next 200, and what failed.

A probe asks from the moment of the kill until it is answered 200 (a request that Envoy repeats is
one that waits). Meanwhile other clients send turns at a steady rate and repeat nothing. At the end
the database says whether a turn that was answered is not there (lost), or one is there twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from o_benchmarks.demo.chaos import active_worker
from o_benchmarks.demo.ledger import Ledger
from o_benchmarks.suite.clients import SteadyTurns, first_success, get, turn
from o_benchmarks.suite.figures import Figures, median
from o_benchmarks.suite.testbed import Testbed, until

RATE_RPS: Final = 100.0
AGENTS: Final = 400
PROBES: Final = 100
"""Agents that only probes talk to, so that no turn of the load is in their way."""
SPARE_READY_S: Final = 1.0
"""By then a worker's forked spare has loaded its genome."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One kill: how long nothing answered, how many turns of the load failed, the slowest."""

    next_200_ms: float
    failures: list[str]
    slowest_ms: float


@dataclass(frozen=True, slots=True)
class Victim:
    """A process to kill: how to find it, what to ask for, and when all is as it was before."""

    name: str
    find: Callable[[], Awaitable[int]]
    requests: Sequence[bytes]
    is_replaced: Callable[[int], Awaitable[bool]]


async def measure_outages(bed: Testbed) -> Figures:
    """Kill the worker, the bridge, the control plane and Envoy, several times each."""
    ids = await bed.agent_ids(AGENTS + PROBES)
    ledger = Ledger(bed.installation.database_url, bed.installation.vault)
    before = ledger.committed_turns(), ledger.duplicated_turns()
    load = SteadyTurns(bed.address, ids[:AGENTS], "outage", rate_rps=RATE_RPS)
    running = asyncio.create_task(load.run())
    answered = 0
    victims = await _victims(bed, ids[AGENTS:])
    outages: dict[str, list[Outage]] = {victim.name: [] for victim in victims}
    try:
        for _ in range(bed.extent.repetitions):
            for victim in victims:
                answered += load.take().answered
                outages[victim.name].append(await _kill(bed, victim, load))
    finally:
        load.stop()
        await running
    answered += load.take().answered
    figures: Figures = {}
    for name, seen in outages.items():
        figures |= _figures(name, seen)
    figures["kill.lost"] = float(max(0, answered - (ledger.committed_turns() - before[0])))
    figures["kill.twice"] = float(ledger.duplicated_turns() - before[1])
    return figures


async def _victims(bed: Testbed, probes: Sequence[str]) -> list[Victim]:
    turns = [turn(agent_id, "a probe") for agent_id in probes]
    lists = [get("/v1/agents/?limit=1")]
    zygote = await bed.instance_pid("stable")

    async def worker() -> int:
        return active_worker(zygote)

    async def has_spare(_: int) -> bool:
        return _has_two_workers(zygote)

    return [
        Victim("worker", worker, turns, has_spare),
        *(_child(bed, name, turns) for name in ("bridge", "envoy")),
        _child(bed, "control", lists),
    ]


def _child(bed: Testbed, name: str, requests: Sequence[bytes]) -> Victim:
    async def find() -> int:
        return await bed.child_pid(name)

    async def is_replaced(killed: int) -> bool:
        return await bed.child_pid(name) not in (0, killed)

    return Victim(name, find, requests, is_replaced)


async def _kill(bed: Testbed, victim: Victim, load: SteadyTurns) -> Outage:
    pid = await victim.find()
    os.kill(pid, signal.SIGKILL)
    next_200_s = await first_success(bed.address, victim.requests)
    await until(lambda: victim.is_replaced(pid))
    await asyncio.sleep(SPARE_READY_S)
    seen = load.tally
    return Outage(next_200_s * 1000, list(seen.failures), seen.slowest_s * 1000)


def _has_two_workers(zygote: int) -> bool:
    ages = [time.time() - child.create_time() for child in psutil.Process(zygote).children()]
    return len(ages) >= 2 and min(ages) > SPARE_READY_S


def _figures(name: str, outages: Sequence[Outage]) -> Figures:
    next_200 = [outage.next_200_ms for outage in outages]
    return {
        f"kill.{name}.next_200_ms": median(next_200),
        f"kill.{name}.next_200_max_ms": max(next_200),
        f"kill.{name}.slowest_turn_ms": max(outage.slowest_ms for outage in outages),
        f"kill.{name}.failed": float(sum(len(outage.failures) for outage in outages)),
    }
