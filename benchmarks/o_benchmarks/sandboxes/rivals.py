"""What else runs a tool apart from its host: `docker exec`, and two packages that come from PyPI.

The packages are installed into a virtual environment of their own, which is thrown away after the
run; one that has no wheel for this machine is left out, and a line says so. Each is served by a
process of that environment (`rival_process.py`) and timed inside it, so that what lies between it
and this process costs it nothing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import docker
import msgspec

from o_platform.cli.configuration import load_settings
from o_platform.errors import OError
from o_platform.images.base import BaseImages
from o_platform.images.engine import EngineClient

PACKAGES: Final = {"monty": "pydantic-monty==1.4.0", "eryx": "pyeryx==0.11.0"}
"""Pinned, so that two runs compare the same."""
PROGRAM: Final = "import json, sys; print(json.dumps(json.loads(sys.argv[1])['x'] * 2))"
_INSTALL_PATIENCE_S: Final = 180.0
_MEMORY: Final = "256m"
Timed = Callable[[], Awaitable[float]]
"""Makes one call; how many milliseconds it took."""


class RivalError(Exception):
    """A rival cannot be had here; the message says why."""


@dataclass(slots=True)
class Rivals:
    """Those that run, and why others do not."""

    calls: dict[str, Timed] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def rivals(packages: Mapping[str, str] = PACKAGES) -> AsyncIterator[Rivals]:
    """Start all that can be had, `packages` by name and requirement; ended with the context."""
    found = Rivals()
    async with AsyncExitStack() as stack:
        makers = {"docker_exec": _docker_exec()}
        makers |= {name: _package(name, wanted) for name, wanted in packages.items()}
        for name, maker in makers.items():
            try:
                found.calls[name] = await stack.enter_async_context(maker)
            except RivalError as error:
                found.left_out[name] = str(error)
        yield found


@asynccontextmanager
async def _docker_exec() -> AsyncIterator[Timed]:
    """A container that waits, and a Python started in it for each call."""
    engine = EngineClient()
    try:
        base = await BaseImages(engine, load_settings()).ensure()
    except OError as error:
        raise RivalError(error.message) from None
    finally:
        await engine.close()
    client = docker.from_env()
    start: Callable[[], Any] = partial(
        client.containers.run, base.tag, ["-c", "import signal; signal.pause()"],
        entrypoint=[base.python], detach=True, network_mode="none", mem_limit=_MEMORY,
    )  # fmt: skip
    container = await asyncio.to_thread(start)
    try:
        command = [base.python, "-I", "-c", PROGRAM, '{"x": 21}']
        yield partial(_executed, container, command)
    finally:
        await asyncio.to_thread(partial(container.remove, force=True))
        client.close()


async def _executed(container: Any, command: list[str]) -> float:
    started = asyncio.get_running_loop().time()
    done = await asyncio.to_thread(container.exec_run, command)
    if done.output.strip() != b"42":
        raise RuntimeError(f"a call by `docker exec` failed: {done}")
    return (asyncio.get_running_loop().time() - started) * 1000


@asynccontextmanager
async def _package(name: str, wanted: str) -> AsyncIterator[Timed]:
    """A process with the package, which makes a call for each line it is sent."""
    with tempfile.TemporaryDirectory(prefix="o-bench-") as folder:
        python = await asyncio.to_thread(_environment, Path(folder))
        await _install(python, wanted)
        program = Path(__file__).with_name("rival_process.py")
        process = await asyncio.create_subprocess_exec(
            str(python), "-I", str(program), name,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield partial(asked, name, process)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


async def _install(python: Path, wanted: str) -> None:
    command = [
        str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--only-binary", ":all:", wanted,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_INSTALL_PATIENCE_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RivalError(f"{wanted} is not installed after {_INSTALL_PATIENCE_S:g} s") from None
    if process.returncode:
        raise RivalError(f"{wanted} has no wheel that installs here: {_cause(said)}")


def _cause(said: bytes) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if "ERROR" in line]
    return lines[-1] if lines else "pip does not say why"


async def asked(name: str, process: asyncio.subprocess.Process) -> float:
    """Have a rival's process make one call; the milliseconds that it says.

    Raises:
        RuntimeError: it gave a wrong value, or ended.
    """
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a rival has no pipes")
    process.stdin.write(b"21\n")
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"the process with {name} ended with {await process.wait()}")
    value, took_ms = msgspec.json.decode(line, type=tuple[int, float])
    if value != 42:
        raise RuntimeError(f"a call by {name} gave {value}")
    return took_ms


async def process_call() -> float:
    """A Python process, started and ended."""
    command = [sys.executable, "-I", "-c", PROGRAM, '{"x": 21}']
    started = asyncio.get_running_loop().time()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if said.strip() != b"42":
        raise RuntimeError(f"a call in a process failed: {said!r}")
    return (asyncio.get_running_loop().time() - started) * 1000
