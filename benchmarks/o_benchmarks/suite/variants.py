"""What variants cost: from a genome to the first 200, and live turns while all are mirrored."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any

import httpx

from o_benchmarks.suite.figures import Figures, median
from o_benchmarks.suite.rollouts import (
    await_instance,
    await_state,
    easy_policy,
    end_rollout,
    save_variant,
    start_rollout,
)
from o_benchmarks.suite.testbed import Testbed, until
from o_benchmarks.suite.throughput import CONCURRENCIES, WARM, Window, summary, window

_FIRST_NUMBER = 1_000
"""Genomes of the mirrored run and of the aborts have smaller numbers."""


async def measure_genomes(bed: Testbed) -> Figures:
    """Genome sent → static gate → image → container → `GET /healthz` answered 200."""
    async with bed.operator() as api:
        seconds = [
            await _first_200(api, _FIRST_NUMBER + number)
            for number in range(bed.extent.repetitions)
        ]
    return {"genome.first_200_s": median(seconds), "genome.first_200_max_s": max(seconds)}


async def measure_mirrored(bed: Testbed) -> Figures:
    """Turns while every one of them is copied to a shadow."""
    agents = await bed.agents(WARM)
    policy = easy_policy("shadow", mirror_permille=1000)
    figures: Figures = {}
    async with bed.operator() as api:
        path = await start_rollout(api, await save_variant(api, 1), policy)
        await await_state(api, path, lambda state: state["state"] == "shadow")
        await await_instance(api, lambda instance: instance["role"] == "shadow")
        await until(lambda: _copy_counters(bed))
        roots = await bed.roots() | {"shadow": await bed.instance_pid("shadow")}
        for c in CONCURRENCIES:
            before = await _copies(bed)
            taken = await window(bed, bed.base_url, roots, agents, c)
            copied = await _copies(bed) - before
            figures |= _mirrored(f"mirrored.c{c}", taken, copied)
        await end_rollout(api, path)
    return figures


def _mirrored(prefix: str, taken: Window, copied: int) -> Figures:
    return summary(prefix, [taken]) | {f"{prefix}.copied_share": copied / taken.load.answered}


async def _copies(bed: Testbed) -> int:
    """Requests that Envoy has sent to the shadow so far."""
    return sum(int(value) for value in (await _copy_counters(bed)).values())


async def _copy_counters(bed: Testbed) -> dict[str, str]:
    """Envoy's counters of requests to a shadow, if it knows of one."""
    pattern = r"^cluster\.shadow-.*\.upstream_rq_total$"
    return await bed.envoy_admin.stats(pattern, kind="Counters")


async def _first_200(api: httpx.AsyncClient, number: int) -> float:
    began = time.time()
    variant = await save_variant(api, number)
    path = await start_rollout(api, variant, easy_policy("shadow"))
    instance = await await_instance(api, lambda found: bool(found["variant"] == variant))
    await end_rollout(api, path)
    return _timestamp(instance) - began


def _timestamp(instance: dict[str, Any]) -> float:
    text = re.sub("Z$", "+00:00", instance["ready_at"])
    return datetime.fromisoformat(text).timestamp()
