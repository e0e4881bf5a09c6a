"""How long an abort takes until no request reaches the variant: `python -m o_benchmarks.abort`.

A real platform serves a steady load, half of its agents from a canary. Each round aborts that
rollout through the operator API and then reads Envoy's own log for the last request that was sent
to the canary. Every second round kills the control plane first, so its spare has to answer.

Prints JSON; times are milliseconds from the moment the abort is sent. `last_request_ms` is below
zero when no later request reached the variant at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from o_benchmarks.demo.installation import (
    Installation,
    InstallationError,
    answer,
    temporary_home,
)
from o_benchmarks.demo.load import SteadyLoad
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.rollout.policy import DEMO, CanaryRules, LoadRules, Policy, ShadowRules
from o_platform.settings import Settings
from o_platform.traffic.process import envoy_paths
from o_platform.traffic.upstream_log import parse_attempt

SCRIPT = "rules: [{name: all, reply: {text: hello}}]"
"""For the scripted model, which no agent of the benchmark uses."""
CANARY_PERMILLE = 500
CANARY_S = 2.0
"""How long the canary serves before the abort."""
AFTERMATH_S = 1.5
"""How long requests are looked for after the abort was answered; Envoy writes its log by then."""
STEP_LIMIT_S = 120.0
LOOK_S = 0.1
Condition = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Abort:
    """One measured abort."""

    by: str
    """`leader`, or `spare` when the control plane was killed just before."""
    answer_ms: float
    last_request_ms: float
    after_answer: int
    """Requests that were sent to the variant after the abort was answered."""
    before: int
    """Requests that the variant got before the abort."""
    shadow_ratio: float
    """Latency of copies at a shadow over that of the originals; both variants behave alike."""


def quick_policy() -> Policy:
    """Gates that anything passes, and a canary that nothing leaves by itself."""
    wide = {"max_latency_ratio": 100.0, "max_error_rate": 0.9, "provable_error_rate": 0.99}
    return DEMO.model_copy(
        update={
            "name": "abort-benchmark",
            "max_crashes": 10**6,
            "load": LoadRules(
                rounds=2, window_s=1.0, max_p50_ratio=100.0, max_p99_ratio=100.0, max_error_rate=0.9
            ),
            "shadow": ShadowRules(min_requests=200, max_wait_s=60, mirror_permille=500, **wide),
            "canary": CanaryRules(
                steps=(CANARY_PERMILLE,), min_requests=10**9, max_wait_s=600, **wide
            ),
        }
    )


async def measure(rounds: int, rate: float, agents: int) -> dict[str, Any]:
    """Start a platform, abort `rounds` rollouts under `rate` turns per second, stop it."""
    with temporary_home() as home:
        script = home / "script.yaml"
        script.write_text(SCRIPT)
        installation = Installation(home / "h", script)
        load = SteadyLoad(installation.base_url, agents, rate)
        try:
            await _start(installation)
            await load.prepare()
            running = asyncio.create_task(load.run())
            try:
                aborts = await _abort_often(installation, rounds)
            finally:
                load.stop()
                await running
        finally:
            await load.close()
            await installation.down()
    return _report(aborts, load, rate)


async def _start(installation: Installation) -> None:
    """Run `o up`; what it prints goes to stderr, since stdout is for the result."""
    program = str(Path(sys.executable).with_name("o"))
    process = await asyncio.create_subprocess_exec(
        program, "up", env=installation.environment, stdout=sys.stderr
    )
    if await process.wait():
        raise InstallationError(f"`o up` ended with {process.returncode}; its output is above")


async def _abort_often(installation: Installation, rounds: int) -> list[Abort]:
    async with installation.operator() as api:
        variant = await _save_variant(api)
        return [
            await _abort_once(installation, api, variant, killed=number % 2 == 1)
            for number in range(rounds)
        ]


async def _save_variant(api: httpx.AsyncClient) -> str:
    seed = Genome.from_dir(seed_genome_dir())
    changed = Genome.from_files({**seed.files, "prompts/abort.md": b"Measured by a benchmark.\n"})
    headers = {"content-type": "application/x-tar"}
    saved = await answer(api, "POST", "/o/v1/variants", content=changed.tar, headers=headers)
    return str(saved["digest"])


async def _abort_once(
    installation: Installation, api: httpx.AsyncClient, variant: str, *, killed: bool
) -> Abort:
    policy = quick_policy().model_dump(mode="json")
    body = {"lineage": "default", "variant": variant, "policy": policy}
    rollout = await answer(api, "POST", "/o/v1/rollouts", json=body)
    path = f"/o/v1/rollouts/{rollout['id']}"
    await _until(api, path, lambda state: state["weight_permille"] == CANARY_PERMILLE)
    canary = await _canary(api)
    await asyncio.sleep(CANARY_S)
    if killed:
        os.kill(await installation.child_pid("control"), signal.SIGKILL)
    began, began_at = time.perf_counter(), time.time()
    response = await api.post(f"{path}/abort")
    answered_s = time.perf_counter() - began
    if response.is_error:
        raise RuntimeError(f"the abort was answered {response.status_code}: {response.text}")
    await asyncio.sleep(AFTERMATH_S)
    requests = _requests_at(installation.home, canary)
    await _until(api, path, lambda state: state["finished_at"] is not None)
    return Abort(
        by="spare" if killed else "leader",
        answer_ms=round(answered_s * 1000, 1),
        last_request_ms=round((max(requests) - began_at) * 1000, 1),
        after_answer=sum(at > began_at + answered_s for at in requests),
        before=sum(at <= began_at for at in requests),
        shadow_ratio=await _shadow_ratio(api, path),
    )


async def _until(api: httpx.AsyncClient, path: str, condition: Condition) -> None:
    async with asyncio.timeout(STEP_LIMIT_S):
        while True:
            if condition(await answer(api, "GET", path)):
                return
            await asyncio.sleep(LOOK_S)


async def _shadow_ratio(api: httpx.AsyncClient, path: str) -> float:
    events = await answer(api, "GET", f"{path}/events")
    passed = next(e for e in events if (e["gate"], e["reason"]) == ("shadow", "step_passed"))
    return float(passed["evidence"]["latency_ratio"]["estimate"])


async def _canary(api: httpx.AsyncClient) -> str:
    instances = await answer(api, "GET", "/o/v1/instances")
    return str(next(i["id"] for i in instances if i["role"] == "canary"))


def _requests_at(home: Path, instance_id: str) -> list[float]:
    """When the requests came in that were sent to an instance, seconds since the epoch."""
    paths = envoy_paths(Settings(home=home, DATABASE_URL=None))
    attempts = map(parse_attempt, Path(paths.upstream_log).read_bytes().splitlines())
    return [a.at.timestamp() for a in attempts if a is not None and a.instance_id == instance_id]


def _report(aborts: list[Abort], load: SteadyLoad, rate: float) -> dict[str, Any]:
    summary = {}
    for by in ("leader", "spare"):
        chosen = [abort for abort in aborts if abort.by == by]
        if chosen:
            last = [abort.last_request_ms for abort in chosen]
            summary[by] = {
                "answer_ms_median": statistics.median(a.answer_ms for a in chosen),
                "last_request_ms_median": statistics.median(last),
                "last_request_ms_max": max(last),
            }
    return {
        "benchmark": "abort",
        "rate_rps": rate,
        "turns": {"sent": load.tally.sent, "failed": len(load.tally.failures)},
        "load_average": round(os.getloadavg()[0], 2),
        "summary": summary,
        "shadow_ratio_median": statistics.median(abort.shadow_ratio for abort in aborts),
        "aborts": [asdict(abort) for abort in aborts],
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m o_benchmarks.abort", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="aborts, alternating leader/spare")
    parser.add_argument("--rate", type=float, default=100.0, help="turns per second")
    parser.add_argument("--agents", type=int, default=200, help="agents under load")
    options = parser.parse_args()
    report = asyncio.run(measure(options.rounds, options.rate, options.agents))
    print(json.dumps(report, indent=2))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
