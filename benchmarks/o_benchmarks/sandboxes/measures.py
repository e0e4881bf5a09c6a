"""The measurements. Contenders take turns, so that all of them see the same minutes.

`round_trip` is what no contender in another process can do without: a message to a process that
does nothing but send it back.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from o_benchmarks.sandboxes.rivals import Timed
from o_benchmarks.suite.figures import Figures
from o_sandbox.attacks.footprint import Footprint
from o_sandbox.cache import default_folder
from o_sandbox.container.sandbox import ContainerSandbox
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.module import ModuleSandbox
from o_sandbox.protocol import Sandbox
from o_sandbox.restricted.sandbox import RestrictedSandbox
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox

LIMITS: Final = Limits(wall_s=60.0, cpu_s=60.0)
_PYTHON: Final = Tool("double", "def double(x):\n    return x * 2")
_SCRIPT: Final = Tool("double", "const double = ({ x }) => x * 2", "double", "javascript", "module")
_MORE_IDLE: Final = 40
_AT_ONCE: Final = 8
_IN_A_ROW: Final = 4
"""Calls of a contender in its turn; half as many as a pool keeps instances."""
_LATER_STARTS: Final = 9
_SETTLED_S: Final = 0.5
"""Making an instance takes a hundredth of this."""
_BYTES: Final = bytes(200)
_ECHO: Final = """
import socket, sys
peer = socket.socket(fileno=int(sys.argv[1]))
while message := peer.recv(4096):
    peer.sendall(message)
"""
Call = Callable[[], Awaitable[object]]


async def measure_latency(rounds: int, others: Mapping[str, Timed]) -> Figures:
    """A trivial call in each tier, with an empty pool, and by the `others`."""
    async with AsyncExitStack() as stack:
        tiers = {
            "wasm.warm": (await _started(stack, WasmSandbox(_engine())), _PYTHON),
            "wasm.cold": (await _started(stack, WasmSandbox(_engine(idle=0))), _PYTHON),
            "restricted": (await _started(stack, RestrictedSandbox()), _PYTHON),
            "module.javascript": (await _started(stack, ModuleSandbox()), _SCRIPT),
            "container": (await _started(stack, ContainerSandbox()), _PYTHON),
        }
        calls = {name: _timed(_call(sandbox, tool)) for name, (sandbox, tool) in tiers.items()}
        calls["round_trip"] = _timed(await _echo(stack))
        return await _interleaved(calls | dict(others), rounds)


async def measure_first_use() -> Figures:
    """From an installed package to an engine that serves: with an empty cache, and again.

    `load` is what the engine itself needs from its start on, `start` includes starting Python;
    `cpu` is the CPU time of all of it, which does not depend on what else the machine does. Of the
    later starts the medians: the first of them has the disk still busy with the new entry.
    """
    figures = {}
    with tempfile.TemporaryDirectory(prefix="o-bench-") as folder:
        settings = EngineSettings(cache=folder)
        for name, starts in (("empty", 1), ("again", _LATER_STARTS)):
            measured = [await _started_engine(settings) for _ in range(starts)]
            for figure in measured[0]:
                values = [one[figure] for one in measured]
                figures[f"first_use.{name}.{figure}"] = _percentile(values, 50)
    return figures


async def _started_engine(settings: EngineSettings) -> Figures:
    keeper = EngineKeeper(settings)
    started, cpu_before = time.perf_counter(), _cpu_of_ended()
    try:
        await asyncio.to_thread(keeper.ensure)
        took_s = time.perf_counter() - started
    finally:
        await asyncio.to_thread(keeper.close)
    cpu_s = _cpu_of_ended() - cpu_before
    return {"start_s": took_s, "cpu_s": cpu_s, "load_ms": keeper.load_s * 1000}


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


def _engine(idle: int = 2 * _IN_A_ROW) -> EngineSettings:
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


async def _echo(stack: AsyncExitStack) -> Call:
    """Sends some bytes over a socket to another process, and waits until they are back."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _ECHO, str(theirs.fileno()), pass_fds=[theirs.fileno()]
        )
    reader, writer = await asyncio.open_connection(sock=ours)
    stack.push_async_callback(process.wait)
    stack.callback(writer.close)

    async def call() -> None:
        writer.write(_BYTES)
        await reader.readexactly(len(_BYTES))

    return call


def _cpu_of_ended() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _timed(call: Call) -> Timed:
    async def timed() -> float:
        started = time.perf_counter()
        await call()
        return (time.perf_counter() - started) * 1000

    return timed


async def _interleaved(calls: dict[str, Timed], rounds: int) -> Figures:
    """`rounds` turns of each contender, a few calls a turn.

    `NAME.p50_ms`, `NAME.p99_ms`: of all calls but the first of a turn. `NAME.first_ms`: the median
    of those, which find the caches full of what the others did.
    """
    first: dict[str, list[float]] = {name: [] for name in calls}
    following: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            first[name].append(await call())
            following[name] += [await call() for _ in range(_IN_A_ROW - 1)]
    figures = {}
    for name in calls:
        figures[f"{name}.p50_ms"] = _percentile(following[name], 50)
        figures[f"{name}.p99_ms"] = _percentile(following[name], 99)
        figures[f"{name}.first_ms"] = _percentile(first[name], 50)
    return figures


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


async def _held(idle: int) -> int:
    """Bytes of an engine with so many instances, once its pool has stopped growing."""
    async with AsyncExitStack() as stack:
        await _started(stack, WasmSandbox(_engine(idle)))
        held, before = Footprint.now().memory_bytes, -1
        while held > before:
            await asyncio.sleep(_SETTLED_S)
            held, before = Footprint.now().memory_bytes, held
        return held
