"""The platform under test: its own installation, its processes, and agents by the thousand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import yaml

from o_benchmarks.demo.chaos import first_process
from o_benchmarks.demo.installation import Installation, InstallationError, answer, temporary_home
from o_benchmarks.suite.clients import Address
from o_benchmarks.suite.generator import turn_request, write_requests
from o_benchmarks.suite.population import add_agents
from o_platform.llm.builtin import DEFAULT_SCRIPT
from o_platform.supervisor.client import SupervisorClient
from o_platform.traffic.admin import EnvoyAdmin
from o_platform.traffic.process import envoy_paths
from o_platform.traffic.snapshot import Paths

LINEAGE: Final = "default"
CHILDREN: Final = ("zygote", "envoy", "postgres", "bridge", "control")
"""Bridge and control plane share memory with the zygote, so its part belongs to theirs."""
UNBORN: Final = "unborn"
"""What the zygote has forked in advance: the supervisor's child, but none that it knows by name."""
CONDITION_LIMIT_S: Final = 120.0
_LOOK_S: Final = 0.02
MODEL_MS: Final = 20
"""How long the scripted model takes for its first token."""
HELD_S: Final = {True: 15, False: 45}
"""How long the scripted model falls silent after its first word if told to hold (if quick, not)."""
FIRST_WORD: Final = "how long is it until your first token?"
HOLD: Final = "hold this stream open"
"""What the scripted model is told to show these; to all else it answers as ever."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a run takes."""

    quick: bool
    window_s: float
    """Length of one window of load."""
    rounds: int
    """How often each window is repeated."""
    repetitions: int
    """How often something is killed, started or aborted."""
    limit_s: float
    """No measurement is begun after this."""


FULL: Final = Extent(quick=False, window_s=4.0, rounds=3, repetitions=5, limit_s=600)
QUICK: Final = Extent(quick=True, window_s=1.0, rounds=1, repetitions=2, limit_s=120)


class Testbed:
    """A running platform."""

    def __init__(self, home: Path, generator: str, extent: Extent) -> None:
        """`home` is an empty folder with a short path."""
        script = home / "script.yaml"
        script.write_text(_script(HELD_S[extent.quick]))
        self.installation = Installation(home / "h", script)
        self.generator = generator
        self.extent = extent
        self.started_s = 0.0
        """How long the first start took."""
        self._home = home
        self._settings = self.installation.settings
        self._templates: dict[str, str] = {}
        self._ids: dict[str, list[str]] = {}
        self._folders = 0

    @property
    def quick(self) -> bool:
        """Whether time matters more than precision."""
        return self.extent.quick

    @property
    def window_s(self) -> float:
        """Length of one window of load."""
        return self.extent.window_s

    @property
    def rounds(self) -> int:
        """How often each window is repeated."""
        return self.extent.rounds

    @property
    def base_url(self) -> str:
        """Where clients reach it."""
        return self.installation.base_url

    @property
    def address(self) -> Address:
        """Where clients reach it."""
        return Address("127.0.0.1", self.installation.port)

    @property
    def operator_key(self) -> str:
        """The first operator's API key."""
        return (self._settings.home / "keys" / "operator.token").read_text().strip()

    @property
    def envoy_paths(self) -> Paths:
        """The files and sockets of its Envoy."""
        return envoy_paths(self._settings)

    @property
    def envoy_admin(self) -> EnvoyAdmin:
        """The admin interface of its Envoy."""
        return EnvoyAdmin(self.envoy_paths.admin_socket)

    def operator(self) -> httpx.AsyncClient:
        """A client of the operator API."""
        return self.installation.operator()

    async def up(self) -> float:
        """Start it; the seconds until it answers."""
        began = time.perf_counter()
        output = self._home / "up.log"
        try:
            with output.open("a") as log:
                await self.installation.up(log)
        except InstallationError as error:
            raise InstallationError(f"{error}:\n{output.read_text()[-2000:]}") from error
        return time.perf_counter() - began

    def folder(self, name: str) -> Path:
        """A new folder with a short path, removed at the end."""
        self._folders += 1
        path = self._home / f"{name}{self._folders}"
        path.mkdir(mode=0o711)
        return path

    async def agents(self, count: int) -> Path:
        """A file with turns of the first `count` agents; those that are missing are made."""
        path, ids = self._home / f"agents-{count}.txt", await self.agent_ids(count)
        return write_requests(path, map(turn_request, ids))

    async def agent_ids(self, count: int, model: str = "o/echo") -> list[str]:
        """The ids of the first `count` agents with this model; those that are missing are made."""
        ids = self._ids.setdefault(model, [])
        missing = count - len(ids)
        if missing > 0:
            url, vault = self.installation.database_url, self.installation.vault
            template = await self.template(model)
            ids += await asyncio.to_thread(add_agents, url, vault, template, missing)
        return ids[:count]

    async def template(self, model: str = "o/echo") -> str:
        """The agent with this model that the API made, and that all others are copies of."""
        if model not in self._templates:
            async with self.operator() as api:
                made = await answer(api, "POST", "/v1/agents/", json=new_agent_body(model))
            self._templates[model] = str(made["id"])
        return self._templates[model]

    async def roots(self) -> dict[str, int]:
        """The processes that take part in turns, by name; each has children."""
        status = await asyncio.to_thread(self._supervisor().status)
        pids = {c["name"]: int(c["pid"]) for c in status["children"] if c["pid"]}
        found = {name: pid for name, pid in pids.items() if name in CHILDREN}
        children = {child.pid for child in psutil.Process(status["pid"]).children()}
        for pid in children - set(pids.values()):
            found[UNBORN] = pid
        return found | {"instance": await self.instance_pid("stable")}

    async def child_pid(self, name: str) -> int:
        """Process id of a child of the supervisor that is ready; 0 if there is none."""
        status = await asyncio.to_thread(self._supervisor().status)
        child = next(c for c in status["children"] if c["name"] == name)
        return int(child["pid"] or 0) if child["phase"] == "ready" else 0

    async def supervisor_pid(self) -> int:
        """Process id of the supervisor."""
        return int((await asyncio.to_thread(self._supervisor().status))["pid"])

    async def instance(self, role: str) -> dict[str, Any]:
        """The ready instance in a role, as the operator API shows it.

        Raises:
            InstallationError: there is none.
        """
        async with self.operator() as api:
            for found in await answer(api, "GET", "/o/v1/instances"):
                if (found["role"], found["status"]) == (role, "ready"):
                    return dict(found)
        raise InstallationError(f"there is no ready instance in the role {role}")

    async def instance_pid(self, role: str) -> int:
        """The first process of the ready instance in a role, as the host sees it."""
        return await asyncio.to_thread(first_process, await self.instance(role))

    def _supervisor(self) -> SupervisorClient:
        return SupervisorClient(self._settings.run / "supervisor.sock")


def _script(held_s: int) -> str:
    """The package's script, and before it what `FIRST_WORD` and `HOLD` stand for."""
    script: dict[str, list[Any]] = yaml.safe_load(DEFAULT_SCRIPT.read_text())
    held = {"text": "holding", "gap_ms": held_s * 1000}
    script["rules"][:0] = [
        {"name": "hold", "when": {"user": HOLD}, "reply": held},
        {
            "name": "first token",
            "when": {"user": FIRST_WORD},
            "reply": {"text": "this long", "delay_ms": MODEL_MS},
        },
    ]
    return yaml.safe_dump(script)


def new_agent_body(model: str) -> dict[str, Any]:
    """The body of a request for a new agent."""
    return {
        "name": "bench",
        "model": model,
        "memory_blocks": [
            {"label": "human", "value": "Somebody who measures."},
            {"label": "persona", "value": "I answer what I am told."},
        ],
    }


@asynccontextmanager
async def running_testbed(generator: str, extent: Extent) -> AsyncIterator[Testbed]:
    """A platform for the time of the block."""
    with temporary_home() as home:
        bed = Testbed(home, generator, extent)
        try:
            bed.started_s = await bed.up()
            yield bed
        finally:
            await bed.installation.down()


async def until(condition: Callable[[], Any], *, within_s: float = CONDITION_LIMIT_S) -> None:
    """Wait until a condition (a coroutine function) holds."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - other processes do not tell
            await asyncio.sleep(_LOOK_S)
