"""Every runtime there is, each in a home of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from o_platform.images.build import ImageBuilder
from o_platform.images.engine import EngineClient
from o_platform.images.genome import Genome
from o_platform.runtimes.docker import DockerRuntime
from o_platform.runtimes.folders import InstanceFolders
from o_platform.runtimes.launcher import Launcher
from o_platform.runtimes.process import ProcessRuntime
from o_platform.runtimes.protocol import InstanceSpec, Placement, Runtime
from o_platform.settings import Limits, Settings
from o_platform.testing import require

TINY_AGENT = (Path(__file__).parent / "tiny_agent.py").read_text()
GENOME = Genome.from_files({"genome.toml": b"", "prompts/system.md": b"Be brief.\n"})


@pytest.fixture
def settings(short_tmp: Path) -> Settings:
    return Settings(home=short_tmp / "home", run_dir=short_tmp / "run")


def open_runtime(name: str, settings: Settings) -> Runtime:
    if name == "process":
        return ProcessRuntime(settings)
    engine = EngineClient()
    return DockerRuntime(engine, ImageBuilder(engine, settings), settings)


@pytest.fixture(params=["process", "docker"])
async def runtime(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Runtime]:
    if request.param == "docker":
        require("docker")
    runtime = open_runtime(request.param, settings)
    yield runtime
    for placement in await runtime.owned():
        await runtime.remove(placement)
    folders = InstanceFolders(settings.run)
    for instance_id in folders.known():
        folders.remove(instance_id)
    await runtime.close()


@pytest.fixture
def launcher(runtime: Runtime, settings: Settings) -> Launcher:
    return Launcher(runtime, settings, ready_timeout_s=30)


def new_spec(**changes: Any) -> InstanceSpec:
    values: dict[str, Any] = {
        "id": secrets.token_hex(6),
        "genome": GENOME,
        "role": "bench",
        "limits": Limits(memory_bytes=64 << 20, pids=32),
        "arguments": ("-c", TINY_AGENT),
    }
    return InstanceSpec(**(values | changes))


@pytest.fixture
def start(launcher: Launcher) -> Callable[..., Awaitable[Placement]]:
    async def started(spec: InstanceSpec | None = None) -> Placement:
        spec = spec or new_spec()
        launcher.make_folders(spec)
        placement = await launcher.start(spec)
        await launcher.await_ready(placement)
        return placement

    return started


@pytest.fixture
def ask(settings: Settings) -> Callable[[Placement, str], Awaitable[Any]]:
    async def asked(placement: Placement, path: str) -> Any:
        socket = InstanceFolders(settings.run).agent_socket(placement.instance_id)
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        async with httpx.AsyncClient(transport=transport, timeout=10) as client:
            return (await client.get(f"http://o{path}")).json()

    return asked
