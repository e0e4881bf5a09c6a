"""The measurements. Contenders take turns, so that all of them see the same minutes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from o_benchmarks.suite.figures import Figures
from o_sandbox.attacks.footprint import Footprint
from o_sandbox.cache import default_folder
from o_sandbox.container.sandbox import ContainerSandbox
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.limits import Limits
from o_sandbox.module import ModuleSandbox
from o_sandbox.protocol import Sandbox
from o_sandbox.restricted.sandbox import RestrictedSandbox
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox

LIMITS: Final = Limits(wall_s=60.0, cpu_s=60.0)
_PYTHON: Final = Tool("double", "def double(x):\n    return x * 2")
_SCRIPT: Final = Tool("double", "const double = ({ x }) => x * 2", "double", "javascript", "module")
_PROGRAM: Final = "import json, sys; print(json.dumps(json.loads(sys.argv[1])['x'] * 2))"
_MORE_IDLE: Final = 40
_AT_ONCE: Final = 8
Call = Callable[[], Awaitable[object]]


async def measure_latency(rounds: int) -> Figures:
    """A trivial call in each tier, with an empty pool, and in a process as one would start it."""
    async with AsyncExitStack() as stack:
        tiers = {
            "wasm.warm": (await _started(stack, WasmSandbox(_engine(idle=4))), _PYTHON),
            "wasm.cold": (await _started(stack, WasmSandbox(_engine(idle=0))), _PYTHON),
            "restricted": (await _started(stack, RestrictedSandbox()), _PYTHON),
            "module.javascript": (await _started(stack, ModuleSandbox()), _SCRIPT),
            "container": (await _started(stack, ContainerSandbox()), _PYTHON),
        }
        calls = {name: _call(sandbox, tool) for name, (sandbox, tool) in tiers.items()}
        return await _interleaved(calls | {"subprocess": _process}, rounds)


async def measure_sustained(seconds: float) -> Figures:
    """Calls per second in the tier `wasm` with two engines, always eight under way."""
    async with AsyncExitStack() as stack:
        call = _call(await _started(stack, WasmSandbox(_engine(), engines=2)), _PYTHON)
        ends, done = time.perf_counter() + seconds, 0

        async def go_on() -> None:
            nonlocal done
            while time.perf_counter() < ends:
                await call()
                done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(go_on())
    return {"wasm.two_engines.rps": done / seconds}


async def measure_idle() -> Figures:
    """Memory of an instance that waits for its call: of many more, against few."""
    few, many = await _held(4), await _held(4 + _MORE_IDLE)
    return {"wasm.idle_mb": (many - few) / _MORE_IDLE / 1e6}


async def measure_row(calls: int) -> Figures:
    """What grows over many calls in a row: memory, file descriptors, threads."""
    async with AsyncExitStack() as stack:
        call = _call(await _started(stack, WasmSandbox(_engine())), _PYTHON)
        for _ in range(calls // 10):
            await call()
        before = Footprint.now()
        for _ in range(calls):
            await call()
        after = Footprint.now()
    return {
        "row.grown_mb": (after.memory_bytes - before.memory_bytes) / 1e6,
        "row.grown_descriptors": after.descriptors - before.descriptors,
        "row.grown_threads": after.threads - before.threads,
    }


def _engine(idle: int = 4) -> EngineSettings:
    return EngineSettings(cache=str(default_folder()), idle=idle)


async def _started(stack: AsyncExitStack, sandbox: Sandbox) -> Sandbox:
    await sandbox.start()
    stack.push_async_callback(sandbox.close)
    return sandbox


def _call(sandbox: Sandbox, tool: Tool) -> Call:
    async def call() -> None:
        outcome = await sandbox.run(tool, {"x": 21}, LIMITS, {})
        if outcome.value != 42:
            raise RuntimeError(f"a call of the measurement failed: {outcome}")

    return call


async def _process() -> None:
    command = [sys.executable, "-I", "-c", _PROGRAM, '{"x": 21}']
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    await process.communicate()


async def _interleaved(calls: dict[str, Call], rounds: int) -> Figures:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 3):
        for name, call in calls.items():
            started = time.perf_counter()
            await call()
            if number >= 3:
                times[name].append((time.perf_counter() - started) * 1000)
    figures = {}
    for name, taken in times.items():
        figures[f"{name}.p50_ms"] = _percentile(taken, 50)
        figures[f"{name}.p99_ms"] = _percentile(taken, 99)
    return figures


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


async def _held(idle: int) -> int:
    async with AsyncExitStack() as stack:
        await _started(stack, WasmSandbox(_engine(idle)))
        return Footprint.now().memory_bytes
