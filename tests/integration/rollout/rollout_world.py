"""A world for rollouts: real PostgreSQL, DBOS and locust. In place of the other parts stand ports
that behave like them: instances on real sockets, a router that follows the rows, and its log.

Run as a program it is a control plane to be killed: `rollout_world.py DATABASE_URL HOME RUN`.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from o_contracts.ids import new_agent_id, routing_key
from o_platform.clock import SystemClock
from o_platform.db.engine import Database
from o_platform.db.models import Instance, Lineage, Rollout
from o_platform.errors import BuildError, NotReadyError, TrafficError
from o_platform.images.build import BuiltImage
from o_platform.images.genome import Genome
from o_platform.images.repository import create_lineage, fetch_genome, save_variant
from o_platform.rollout.observations import LogMark
from o_platform.rollout.policy import (
    CanaryRules,
    LoadRules,
    Policy,
    ShadowRules,
    StaticRules,
    WatchRules,
)
from o_platform.rollout.signals import Signals
from o_platform.rollout.workflow import DurableEngine, RolloutRuntime
from o_platform.runtimes.protocol import InstanceSpec, Usage
from o_platform.settings import Settings
from o_platform.testing.envoy import Backend, SeenRequest
from o_platform.testing.vault import vault_of_tests

__all__ = ["Signals", "SystemClock", "World", "control_plane", "nothing", "policy", "seed"]

AGENTS = 200
LIVE_RPS = 400


def policy(**changes: Any) -> Policy:
    """Small samples, so that a rollout takes seconds."""
    rules = {
        "min_requests": 40,
        "max_wait_s": 20,
        "max_latency_ratio": 2.0,
        "max_error_rate": 0.02,
        "provable_error_rate": 0.3,
    }
    return Policy(
        name="test",
        load=LoadRules(rate_rps=100, concurrency=2, window_s=0.25, rounds=2, max_p50_ratio=2.5),
        shadow=ShadowRules(**rules, mirror_permille=500),
        canary=CanaryRules(**rules, steps=(250, 500)),
        watch=WatchRules(**rules, min_seconds=0.5),
        static=StaticRules(code_findings="reject"),
        approval=dict.fromkeys(("params", "prompts", "tools", "loop"), "auto"),
    ).model_copy(update=changes)


@dataclass
class Traits:
    """How a variant behaves, read from its prompt: `latency_ms=5 suffix=!`."""

    latency_ms: float = 4.0
    dies_of_100: int = 0
    suffix: str = ""
    build: str = ""
    ready: str = ""
    oom_kills: int = 0

    @classmethod
    def of(cls, genome: Genome) -> Traits:
        text = genome.files.get("prompts/system.md", b"").decode()
        traits = cls()
        for word in text.split():
            name, separator, value = word.partition("=")
            if separator and hasattr(traits, name):
                setattr(traits, name, type(getattr(traits, name))(value))
        return traits


def genome(text: str) -> Genome:
    return Genome.from_files({"genome.toml": b"", "prompts/system.md": text.encode()})


@dataclass(frozen=True)
class LoggedAttempt:
    at: datetime
    instance_id: str
    status: int
    duration_us: int | None
    routing_key: str | None
    cancelled: bool = False


@dataclass
class Log:
    """The log of attempts."""

    lines: list[LoggedAttempt] = field(default_factory=list)
    read: int = 0

    @property
    def position(self) -> LogMark:
        return LogMark(1, self.read)

    async def read_new(self) -> Sequence[LoggedAttempt]:
        new, self.read = self.lines[self.read :], len(self.lines)
        return new


class EchoInstance(Backend):
    """Answers turns as an instance with the model `o/echo` does."""

    traits: Traits

    async def _answer(self, request: SeenRequest, writer: asyncio.StreamWriter) -> bool:
        if request.path == "/healthz":
            return await self._send(writer, 200, b"{}")
        try:
            messages = json.loads(request.body)["messages"]
            text = [m["content"] for m in messages if m["role"] == "user"][-1]
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, IndexError):
            return await self._send(writer, 422, b'{"detail": []}')
        said = {"message_type": "assistant_message", "content": f"echo: {text}{self.traits.suffix}"}
        stop = {"message_type": "stop_reason", "stop_reason": "end_turn"}
        if request.path.endswith("/stream"):
            events = [json.dumps(said), json.dumps(stop), "[DONE]"]
            return await self._send(writer, 200, "".join(f"data: {e}\n\n" for e in events).encode())
        body = {"messages": [said], "stop_reason": stop, "usage": {"step_count": 1}}
        return await self._send(writer, 200, json.dumps(body).encode())

    async def _send(self, writer: asyncio.StreamWriter, status: int, body: bytes) -> bool:
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True


class InternalListener(EchoInstance):
    """Envoy's internal listener: takes turns to the instance that a header names, and logs them."""

    world: World

    async def _answer(self, request: SeenRequest, writer: asyncio.StreamWriter) -> bool:
        instance_id = request.headers["x-o-instance"]
        self.traits = self.world.traits_by_instance[instance_id]
        took_ms = await self.world.take_time(self.traits)
        key = routing_key(request.path.split("/")[3])
        self.world.log_attempt(instance_id, 200, took_ms, key)
        return await super()._answer(request, writer)


@dataclass(frozen=True)
class InstanceView:
    id: str
    agent_socket: Path


class Runtime:
    """Builds nothing, and refuses what its traits say."""

    async def prepare(self, spec: InstanceSpec) -> BuiltImage | None:
        if Traits.of(spec.genome).build:
            raise BuildError("genome.toml:1: cannot be built")
        return None


class World:
    """Fleet, traffic and log in one; `routes` is what was last put in force."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.log = Log()
        self.runtime = Runtime()
        self.traits_by_instance: dict[str, Traits] = {}
        self.servers: dict[str, EchoInstance] = {}
        self.routes: dict[str, Any] = {}
        self.envoy_is_down = False
        self.slowness = 1.0
        self.rng = random.Random(4)  # noqa: S311
        self.agents = [routing_key(new_agent_id(1)) for _ in range(AGENTS)]
        self.internal = InternalListener("internal", settings.run / "internal.sock")
        self.internal.world = self

    async def start(self) -> None:
        """Serve what the rows want, as an adopting fleet does."""
        await self.internal.start()
        async with self.database.unit_of_work() as session:
            rows = (await session.scalars(select(Instance).where(Instance.wanted))).all()
            genomes = {row.id: await self._traits(session, row.variant) for row in rows}
        for row in rows:
            await self._serve(row.id, genomes[row.id])
        await self.apply()

    async def stop(self) -> None:
        await self.internal.stop()
        for server in self.servers.values():
            await server.stop()

    async def _traits(self, session: Any, variant: str) -> Traits:
        return Traits.of(await fetch_genome(session, variant))

    async def _serve(self, instance_id: str, traits: Traits) -> None:
        server = EchoInstance(instance_id, self.socket(instance_id))
        server.traits = traits
        await server.start()
        self.servers[instance_id] = server
        self.traits_by_instance[instance_id] = traits

    def socket(self, instance_id: str) -> Path:
        return self.settings.run / "instances" / instance_id / "in" / "agent.sock"

    # The fleet.

    async def ensure(
        self,
        lineage: str,
        variant: str,
        role: str,
        rollout_id: str | None = None,
        *,
        fresh: bool = False,
    ) -> InstanceView:
        async with self.database.unit_of_work() as session:
            traits = await self._traits(session, variant)
            same = select(Instance.id).where(
                Instance.wanted,
                Instance.variant == variant,
                Instance.role == role,
                Instance.rollout_id.is_not_distinct_from(rollout_id),
            )
            found = None if fresh else await session.scalar(same.limit(1))
            if found is None and traits.ready and role == traits.ready:
                raise NotReadyError(f"variant {variant[:12]} exited with 78")
            instance_id = found or secrets.token_hex(6)
            if found is None:
                session.add(
                    Instance(
                        id=instance_id, lineage=lineage, variant=variant, role=role,
                        runtime="test", status="ready", wanted=True, rollout_id=rollout_id,
                        limits={}, ready_at=datetime.now(UTC),
                    )
                )  # fmt: skip
        if found is None:
            await self._serve(instance_id, traits)
        return InstanceView(instance_id, self.socket(instance_id))

    async def retire(self, instance_id: str) -> None:
        async with self.database.unit_of_work() as session:
            row = await session.get(Instance, instance_id)
            assert row is not None
            row.wanted, row.status = False, "stopped"
        server = self.servers.pop(instance_id, None)
        if server is not None:
            await server.stop()

    async def usage(self, instance_id: str) -> Usage:
        return Usage(
            memory_peak_bytes=1 << 20, oom_kills=self.traits_by_instance[instance_id].oom_kills
        )

    # Traffic.

    async def apply(self) -> None:
        if self.envoy_is_down:
            raise TrafficError("Envoy does not answer")
        async with self.database.unit_of_work() as session:
            lineage = await session.get(Lineage, "default", populate_existing=True)
            assert lineage is not None
            stable = select(Instance.id).where(
                Instance.wanted,
                Instance.role == "stable",
                Instance.variant == lineage.stable_variant,
            )
            rollout = await session.scalar(select(Rollout).where(Rollout.finished_at.is_(None)))
            self.routes = {
                "stable": await session.scalar(stable.limit(1)),
                "canary": rollout.canary_instance if rollout else None,
                "weight": rollout.weight_permille if rollout else 0,
                "shadow": rollout.shadow_instance if rollout else None,
                "mirror": rollout.mirror_permille if rollout else 0,
            }

    async def live(self, rps: float = LIVE_RPS) -> None:
        """Clients' turns, for ever: logged as Envoy would log them under the routes in force."""
        while True:
            for _ in range(max(1, int(rps / 100))):
                self._turn()
            await asyncio.sleep(0.01)

    def _turn(self) -> None:
        key = self.rng.choice(self.agents)
        routes = self.routes
        share = int(key[9:13], 16) % 1000
        target = routes["canary"] if routes["canary"] and share < routes["weight"] else None
        self._attempt(target or routes["stable"], key)
        if routes["shadow"] and self.rng.random() * 1000 < routes["mirror"]:
            self._attempt(routes["shadow"], key)

    def _attempt(self, instance_id: str | None, key: str) -> None:
        traits = self.traits_by_instance.get(instance_id or "")
        if instance_id is None or traits is None:
            return
        died = self.rng.randrange(100) < traits.dies_of_100
        took_ms = self.slowness * traits.latency_ms * self.rng.lognormvariate(0, 0.2)
        self.log_attempt(instance_id, 0 if died else 200, took_ms, key)

    async def take_time(self, traits: Traits) -> float:
        took_ms = traits.latency_ms * self.rng.lognormvariate(0, 0.1)
        await asyncio.sleep(took_ms / 1000)
        return took_ms

    def log_attempt(self, instance_id: str, status: int, took_ms: float, key: str) -> None:
        now = datetime.now(UTC)
        self.log.lines.append(LoggedAttempt(now, instance_id, status, int(took_ms * 1000), key))


@asynccontextmanager
async def control_plane(
    database: Database, settings: Settings, rps: float = LIVE_RPS
) -> AsyncIterator[tuple[World, RolloutRuntime]]:
    """What a control plane runs of rollouts, on a world with live traffic."""
    world = World(database, settings)
    await world.start()
    engine = DurableEngine(database.url)
    runtime = RolloutRuntime(database, world, world, settings, world.log)
    engine.launch()
    tasks = [asyncio.ensure_future(world.live(rps)), asyncio.ensure_future(runtime.run())]
    try:
        yield world, runtime
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.close()
        await world.stop()


async def seed(database: Database, *texts: str) -> list[str]:
    """The lineage `default` with the first genome as stable, the others as variants."""
    genomes = [genome(text) for text in texts]
    async with database.unit_of_work() as session:
        await create_lineage(session, "default", genomes[0], "seed")
        for other in genomes[1:]:
            await save_variant(session, other, "operator")
        session.add(
            Instance(
                id="5" * 12, lineage="default", variant=genomes[0].digest, role="stable",
                runtime="test", status="ready", wanted=True, limits={}, ready_at=datetime.now(UTC),
            )
        )  # fmt: skip
    return [g.digest for g in genomes]


async def nothing(rollout_id: str) -> None:
    """What a service does that leaves the workflow to another process."""


async def main() -> None:
    database = Database(sys.argv[1], vault_of_tests())
    settings = Settings(home=Path(sys.argv[2]), run_dir=Path(sys.argv[3]))
    async with control_plane(database, settings):
        print("ready", flush=True)  # noqa: T201 - tells the test
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
