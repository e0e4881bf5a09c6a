"""How long an abort takes until no request reaches the variant.

Each round brings a rollout to its canary under a steady load, aborts it through the operator API,
and then reads Envoy's own log for the last request that was sent to the canary (zero milliseconds
when none was after the abort was sent). Every second round kills the control plane first, so its
successor has to answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from o_benchmarks.demo.installation import answer
from o_benchmarks.suite.clients import SteadyTurns
from o_benchmarks.suite.figures import Figures, median
from o_benchmarks.suite.rollouts import (
    CANARY_PERMILLE,
    await_instance,
    await_state,
    easy_policy,
    has_ended,
    save_variant,
    start_rollout,
)
from o_benchmarks.suite.testbed import Testbed
from o_platform.traffic.upstream_log import parse_attempt

CANARY_S: Final = 2.0
"""How long the canary serves before the abort."""
AFTERMATH_S: Final = 1.0
"""How long requests are looked for after the abort was answered; Envoy writes its log by then."""
RATE_RPS: Final = 100.0
AGENTS: Final = 200


@dataclass(frozen=True, slots=True)
class Abort:
    """One measured abort; times in milliseconds from the moment it was sent."""

    bereft: bool
    """Whether the control plane was killed just before."""
    answer_ms: float
    last_request_ms: float
    after_answer: int
    """Requests that were sent to the variant after the abort was answered."""
    shadow_ratio: float
    """Latency of copies at a shadow over that of the originals; both variants behave alike."""


async def measure_aborts(bed: Testbed) -> Figures:
    """Abort rollouts under load, in turns with and without a control plane that was just killed."""
    load = SteadyTurns(bed.address, await bed.agent_ids(AGENTS), "abort", rate_rps=RATE_RPS)
    running = asyncio.create_task(load.run())
    try:
        async with bed.operator() as api:
            variant = await save_variant(api, 2)
            aborts = [
                await _abort(bed, api, variant, bereft=number % 2 == 1)
                for number in range(2 * ((bed.extent.repetitions + 1) // 2))
            ]
    finally:
        load.stop()
        await running
    return _figures(aborts) | {"abort.failed": float(len(load.tally.failures))}


async def _abort(bed: Testbed, api: httpx.AsyncClient, variant: str, *, bereft: bool) -> Abort:
    path = await start_rollout(api, variant, easy_policy("canary"))
    await await_state(api, path, lambda state: state["weight_permille"] == CANARY_PERMILLE)
    canary = str((await await_instance(api, lambda found: found["role"] == "canary"))["id"])
    await asyncio.sleep(CANARY_S)
    if bereft:
        os.kill(await bed.child_pid("control"), signal.SIGKILL)
    began, began_at = time.perf_counter(), time.time()
    (await api.post(f"{path}/abort")).raise_for_status()
    answered_s = time.perf_counter() - began
    await asyncio.sleep(AFTERMATH_S)
    requests = _requests_at(Path(bed.envoy_paths.upstream_log), canary)
    await await_state(api, path, has_ended)
    return Abort(
        bereft=bereft,
        answer_ms=answered_s * 1000,
        last_request_ms=max(0.0, max(requests) - began_at) * 1000,
        after_answer=sum(at > began_at + answered_s for at in requests),
        shadow_ratio=await _shadow_ratio(api, path),
    )


async def _shadow_ratio(api: httpx.AsyncClient, path: str) -> float:
    events = await answer(api, "GET", f"{path}/events")
    passed = next(e for e in events if (e["gate"], e["reason"]) == ("shadow", "step_passed"))
    return float(passed["evidence"]["latency_ratio"]["estimate"])


def _requests_at(log: Path, instance_id: str) -> list[float]:
    """When the requests came in that were sent to an instance, seconds since the epoch."""
    attempts = map(parse_attempt, log.read_bytes().splitlines())
    return [a.at.timestamp() for a in attempts if a is not None and a.instance_id == instance_id]


def _figures(aborts: list[Abort]) -> Figures:
    figures: Figures = {
        "abort.after_answer": float(sum(abort.after_answer for abort in aborts)),
        "abort.shadow_ratio": median([abort.shadow_ratio for abort in aborts]),
    }
    for prefix, bereft in (("abort", False), ("abort_killed", True)):
        chosen = [abort for abort in aborts if abort.bereft == bereft]
        last = [abort.last_request_ms for abort in chosen]
        figures |= {
            f"{prefix}.answer_ms": median([abort.answer_ms for abort in chosen]),
            f"{prefix}.last_request_ms": median(last),
            f"{prefix}.last_request_max_ms": max(last),
        }
    return figures
