"""A bridge on a real PostgreSQL, agents and instances in it, workers that speak frames."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from o_contracts.bridge import (
    HOST_CALL,
    LLM_COMPLETE,
    TOOL_CALL,
    TURN_COMMIT,
    TURN_OPEN,
    HostCallRequest,
    HostCallResult,
    StepRecord,
    ToolCallRequest,
    ToolCallResult,
    TurnCommit,
    TurnCommitted,
    TurnOpen,
    TurnOpened,
)
from o_contracts.frames import decode_body
from o_contracts.ids import new_agent_id, new_id, now_us
from o_contracts.llm import LlmMessage, LlmRequest, LlmResult
from o_contracts.messages import Message, Usage
from o_platform.bridge.process import Bridge
from o_platform.llm.server import Exchange, FrameServer, listening_socket
from o_platform.settings import Settings
from o_platform.testing.peer import Peer
from o_platform.testing.vault import revealed

VARIANT = "v" * 64


@dataclass
class Rows:
    """Reads and writes the test's database directly; what is sealed is shown opened."""

    url: str
    default_key: int = 1

    def all(self, query: str, *values: object) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query, values)
            return revealed(connection, cursor.fetchall()) if cursor.description else []

    def one(self, query: str, *values: object) -> Any:
        ((value,),) = self.all(query, *values)
        return value

    def lineage(self, name: str, key: int) -> None:
        self.all(
            "INSERT INTO lineages (name, key) VALUES (%s, %s) ON CONFLICT DO NOTHING", name, key
        )

    def agent(self, lineage: str = "default", **changes: Any) -> str:
        values = {
            "id": new_agent_id(self.default_key), "lineage": lineage, "name": "ada",
            "agent_type": "letta_v1_agent", "system": "be good", "model": "o/echo",
            "model_settings": Jsonb({}), "embedding": "o/hash", "tool_rules": Jsonb([]),
            "tools": [
                "memory_insert", "memory_replace", "memory_rethink", "conversation_search",
                "archival_memory_insert", "archival_memory_search",
            ],
            "tags": [],
        } | changes  # fmt: skip
        self._insert("agents", values)
        return str(values["id"])

    def block(self, agent_id: str, label: str, value: str = "", **changes: Any) -> str:
        values = {
            "id": new_id("block"), "label": label, "value": value, "char_limit": 100,
            "read_only": False, "metadata": Jsonb({}), "tags": [],
        } | changes  # fmt: skip
        self._insert("blocks", values)
        self.attach(agent_id, str(values["id"]), label)
        return str(values["id"])

    def tool(self, name: str, grants: list[str], **changes: Any) -> str:
        source = f"def {name}():\n    'Do.'\n    return 1"
        values = {
            "id": new_id("tool"), "name": name, "description": "Do.", "source_code": source,
            "code": source, "entry": name, "json_schema": Jsonb({"parameters": {}}), "tags": [],
            "tier": "container", "grants": grants, "return_char_limit": 100,
            "enable_parallel_execution": False, "metadata": Jsonb({}),
        } | changes  # fmt: skip
        self._insert("tools", values)
        return str(values["id"])

    def secret(self, agent_id: str, name: str, value: str) -> None:
        self._insert("agent_secrets", {"agent_id": agent_id, "name": name, "value": value})

    def attach(self, agent_id: str, block_id: str, label: str) -> None:
        values = {"agent_id": agent_id, "label": label, "block_id": block_id, "position": 0}
        self._insert("agent_blocks", values)

    def instance(self, role: str, lineage: str = "default", instance_id: str = "") -> str:
        instance_id = instance_id or secrets.token_hex(6)
        values = {
            "id": instance_id, "lineage": lineage, "variant": VARIANT, "role": role,
            "runtime": "process", "status": "starting", "limits": Jsonb({}),
        }  # fmt: skip
        self._insert("instances", values)
        self.all("SELECT pg_notify('o_instances', %s)", instance_id)
        return instance_id

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        self.all(f"INSERT INTO {table} ({names}) VALUES ({places})", *values.values())  # noqa: S608


@pytest.fixture
def rows(database_url: str) -> Rows:
    rows = Rows(database_url)
    rows.all(
        "INSERT INTO variants (digest, genome, params, origin, size_bytes) "
        "VALUES (%s, '', '{}', 'seed', 0)",
        VARIANT,
    )
    rows.lineage("default", 1)
    return rows


@pytest.fixture
def settings(short_tmp: Path) -> Settings:
    return Settings(home=short_tmp / "home", run_dir=short_tmp, turn_wait_s=5.0)


RunBridge = Callable[[], Any]


@pytest.fixture
def run_bridge(settings: Settings, rows: Rows) -> RunBridge:
    @asynccontextmanager
    async def run() -> AsyncIterator[Bridge]:
        bridge = Bridge(settings, rows.url)
        await bridge.start()
        try:
            yield bridge
        finally:
            await bridge.stop()

    return run


@pytest.fixture
async def bridge(run_bridge: RunBridge) -> AsyncIterator[Bridge]:
    async with run_bridge() as bridge:
        yield bridge


@dataclass
class Opened:
    """A turn that a worker runs."""

    agent_id: str
    turn: TurnOpened


class Worker:
    """What an instance's worker does, step by step."""

    def __init__(self, peer: Peer, instance_id: str) -> None:
        self.peer = peer
        self.instance_id = instance_id

    def ask_open(self, agent_id: str, request_id: str = "", **fields: Any) -> int:
        request_id = request_id or secrets.token_hex(8)
        digest = fields.pop("body_digest", hashlib.sha256(request_id.encode()).hexdigest())
        return self.peer.start(TURN_OPEN, TurnOpen(agent_id, request_id, digest, **fields))

    async def open(self, agent_id: str, request_id: str = "", **fields: Any) -> TurnOpened:
        return await self.peer.answer(self.ask_open(agent_id, request_id, **fields), TurnOpened)

    def ask_llm(self, turn: TurnOpened, text: str, model: str = "o/echo", **fields: Any) -> int:
        messages = [LlmMessage("user", text)]
        request = LlmRequest(model, messages, token=turn.token, run_id=turn.run_id, **fields)
        return self.peer.start(LLM_COMPLETE, request)

    async def llm(
        self, turn: TurnOpened, text: str, model: str = "o/echo", **fields: Any
    ) -> LlmResult:
        return await self.peer.answer(self.ask_llm(turn, text, model, **fields), LlmResult)

    async def tool(
        self, turn: TurnOpened, name: str, arguments: str, seq: int = 0
    ) -> ToolCallResult:
        call = ToolCallRequest(turn.token, turn.run_id, seq, f"call-{seq}", name, arguments)
        return await self.peer.ask(TOOL_CALL, call, ToolCallResult)

    async def host(
        self, turn: TurnOpened, tool: str, name: str, arguments: str = "{}", seq: int = 0
    ) -> HostCallResult:
        call = HostCallRequest(turn.token, turn.run_id, seq, tool, name, arguments)
        return await self.peer.ask(HOST_CALL, call, HostCallResult)

    def ask_commit(
        self,
        agent_id: str,
        turn: TurnOpened,
        text: str = "hi",
        ids: tuple[str, ...] = (),
        step_ids: tuple[str, ...] = (),
        **fields: Any,
    ) -> int:
        first, second = ids or (new_id("message"), new_id("message"))
        messages = [
            Message(first, "user_message", now_us(), text),
            Message(second, "assistant_message", now_us(), f"echo: {text}", step_id="step-1"),
        ]
        usage = Usage(7, 3)
        made = step_ids or (new_id("step"),)
        steps = [StepRecord(step_id, "o/echo", usage, "end_turn", 12) for step_id in made]
        commit = TurnCommit(
            turn.token, turn.run_id, agent_id, messages, steps, "end_turn", usage, **fields
        )
        return self.peer.start(TURN_COMMIT, commit)

    async def commit(
        self, agent_id: str, turn: TurnOpened, text: str = "hi", **fields: Any
    ) -> TurnCommitted:
        return await self.peer.answer(
            self.ask_commit(agent_id, turn, text, **fields), TurnCommitted
        )

    async def run(
        self, agent_id: str, request_id: str = "", text: str = "hi", **fields: Any
    ) -> TurnCommitted:
        turn = await self.open(agent_id, request_id, **fields)
        assert turn.finished is None
        await self.llm(turn, text)
        return await self.commit(agent_id, turn, text)


NewWorker = Callable[..., Awaitable[Worker]]


@pytest.fixture
async def new_worker(settings: Settings, rows: Rows) -> AsyncIterator[NewWorker]:
    """Connects a worker to a bridge that runs: of a new instance, or of one that has workers."""
    peers: list[Peer] = []

    async def new(
        role: str = "stable", *, instance_id: str = "", lineage: str = "default"
    ) -> Worker:
        instance_id = instance_id or rows.instance(role, lineage)
        path = settings.run / "instances" / instance_id / "out" / "bridge.sock"
        peer = await _connected(path)
        peers.append(peer)
        return Worker(peer, instance_id)

    yield new
    for peer in peers:
        await peer.die()


async def _connected(path: Path) -> Peer:
    async with asyncio.timeout(10):
        while True:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                return await Peer.connect(path)
            await asyncio.sleep(0.005)


@dataclass
class ModelServer:
    """A gateway whose one model answers `reply N` to its Nth call, once it may."""

    calls: int = 0
    cancelled: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, exchange: Exchange) -> LlmResult:
        request = decode_body(exchange.frame, LlmRequest)
        self.calls += 1
        text = f"reply {self.calls}"
        exchange.streaming = request.stream
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return LlmResult(text=text, usage=Usage(10, 2), model=request.model, cost_usd=0.25)


@pytest.fixture
async def model_server(settings: Settings) -> AsyncIterator[ModelServer]:
    server = ModelServer()
    server.may_answer.set()
    listener = listening_socket(str(settings.run / "llm.sock"))
    serving = asyncio.create_task(FrameServer(server.answer).serve(listener))
    yield server
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
