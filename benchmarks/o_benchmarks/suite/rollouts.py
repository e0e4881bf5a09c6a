"""Variants and rollouts as the measurements need them: gates that anything passes.

A rollout under `easy_policy` comes to its shadow and its canary within seconds, and stays in the
one it is told to stay in until it is aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal

import httpx

from o_benchmarks.demo.installation import answer
from o_benchmarks.suite.testbed import LINEAGE
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.rollout.policy import DEMO, CanaryRules, LoadRules, Policy, ShadowRules

CANARY_PERMILLE: Final = 500
STEP_LIMIT_S: Final = 120.0
_ENDLESS: Final = 10**9
_LOOK_S: Final = 0.1
Condition = Callable[[dict[str, Any]], bool]


def easy_policy(stay_in: Literal["shadow", "canary"], *, mirror_permille: int = 500) -> Policy:
    """Gates that anything passes, up to the one that is never left."""
    wide = {"max_latency_ratio": 100.0, "max_error_rate": 0.9, "provable_error_rate": 0.99}
    load = LoadRules(
        rounds=2, window_s=1.0, max_p50_ratio=100.0, max_p99_ratio=100.0, max_error_rate=0.9
    )
    copies = _ENDLESS if stay_in == "shadow" else 200
    shadow = ShadowRules(
        min_requests=copies, max_wait_s=600, mirror_permille=mirror_permille, **wide
    )
    canary = CanaryRules(steps=(CANARY_PERMILLE,), min_requests=_ENDLESS, max_wait_s=600, **wide)
    changes = {"name": "bench", "max_crashes": 10**6, "load": load}
    return DEMO.model_copy(update=changes | {"shadow": shadow, "canary": canary})


async def save_variant(api: httpx.AsyncClient, number: int) -> str:
    """A variant that differs from the seed in a file that changes nothing; returns its digest."""
    seed = Genome.from_dir(seed_genome_dir())
    text = f"Measured by benchmark {number}.\n".encode()
    changed = Genome.from_files({**seed.files, "prompts/bench.md": text})
    headers = {"content-type": "application/x-tar"}
    saved = await answer(api, "POST", "/o/v1/variants", content=changed.tar, headers=headers)
    return str(saved["digest"])


async def start_rollout(api: httpx.AsyncClient, variant: str, policy: Policy) -> str:
    """Start a rollout of a variant; returns its path in the operator API."""
    body = {"lineage": LINEAGE, "variant": variant, "policy": policy.model_dump(mode="json")}
    return f"/o/v1/rollouts/{(await answer(api, 'POST', '/o/v1/rollouts', json=body))['id']}"


async def end_rollout(api: httpx.AsyncClient, path: str) -> None:
    """Abort a rollout and wait until everything of it is gone."""
    (await api.post(f"{path}/abort")).raise_for_status()
    await await_state(api, path, has_ended)


async def await_state(api: httpx.AsyncClient, path: str, condition: Condition) -> dict[str, Any]:
    """Wait until a rollout is as wanted; returns how it is then."""
    async with asyncio.timeout(STEP_LIMIT_S):
        while True:
            state: dict[str, Any] = await answer(api, "GET", path)
            if condition(state):
                return state
            await asyncio.sleep(_LOOK_S)


async def await_instance(api: httpx.AsyncClient, condition: Condition) -> dict[str, Any]:
    """Wait for a ready instance that is as wanted."""
    async with asyncio.timeout(STEP_LIMIT_S):
        while True:
            for instance in await answer(api, "GET", "/o/v1/instances"):
                if instance["ready_at"] and condition(instance):
                    return dict(instance)
            await asyncio.sleep(_LOOK_S)


def has_ended(state: dict[str, Any]) -> bool:
    """Whether a rollout is over."""
    return state["finished_at"] is not None
