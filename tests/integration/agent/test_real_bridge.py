"""An instance on the real bridge and a real PostgreSQL, both killed while it serves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from o_contracts.frames import decode_body
from o_contracts.ids import new_agent_id, new_id
from o_contracts.llm import LlmRequest, LlmResult
from o_contracts.messages import ToolCall
from o_platform.llm.server import Exchange, listening_socket
from o_platform.testing.model import ModelThread
from o_platform.testing.vault import revealed

pytestmark = pytest.mark.integration

INSTANCE = "abcdef012345"
SEED = (
    "INSERT INTO variants (digest, genome, params, origin, size_bytes)"
    " VALUES ('v', '', '{}', 'seed', 0)",
    "INSERT INTO lineages (name, key) VALUES ('default', 1) ON CONFLICT DO NOTHING",
    "INSERT INTO instances (id, lineage, variant, role, runtime, status, limits)"
    " VALUES ('abcdef012345', 'default', 'v', 'stable', 'process', 'starting', '{}')",
)


SHADOW = "abcdef012346"
ASKER = """
import uuid
import o
def asker() -> str:
    "Ask something else every time."
    return o.llm.complete(prompt=str(uuid.uuid4()))["text"]
"""


class RealBridge:
    """The bridge as a process."""

    def __init__(self, url: str, folder: Path) -> None:
        self.socket = folder / "instances" / INSTANCE / "out" / "bridge.sock"
        self.log = folder / "bridge.log"
        self._environment = os.environ | {
            "DATABASE_URL": url,
            "O_RUN_DIR": str(folder),
            "O_HOME": str(folder / "home"),
        }
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "o_platform.bridge"]
            self.process = subprocess.Popen(command, env=self._environment, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(15)


@pytest.fixture
def database_rows(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in SEED:
            connection.execute(statement)
        yield connection


@pytest.fixture
def real_bridge(
    database_rows: psycopg.Connection[Any], database_url: str, short_tmp: Path
) -> Iterator[RealBridge]:
    bridge = RealBridge(database_url, short_tmp)
    yield bridge
    bridge.close()


class CountingModel:
    """A gateway on a thread, whose model calls the tool `asker`, and counts what that asks."""

    def __init__(self, socket_path: Path) -> None:
        self.asked: list[str] = []
        self._thread = ModelThread(listening_socket(str(socket_path)), self._answer)

    def close(self) -> None:
        self._thread.close()

    async def _answer(self, exchange: Exchange) -> LlmResult:
        request = decode_body(exchange.frame, LlmRequest)
        exchange.streaming = request.stream
        last = request.messages[-1]
        if not request.tools:
            self.asked.append(str(last.content))
            return LlmResult(f"answer {len(self.asked)} to {last.content}", model="test/m")
        if last.role == "tool":
            return LlmResult(f"said: {last.content}", model="test/m")
        return LlmResult(tool_calls=[ToolCall("call-1", "asker", "{}")], model="test/m")


def test_a_shadow_replays_what_the_original_turn_was_answered(
    start_instance: Callable[..., Any],
    real_bridge: RealBridge,
    database_rows: psycopg.Connection[Any],
    short_tmp: Path,
) -> None:
    database_rows.execute(
        "INSERT INTO instances (id, lineage, variant, role, runtime, status, limits)"
        " VALUES (%s, 'default', 'v', 'shadow', 'process', 'starting', '{}')",
        (SHADOW,),
    )
    database_rows.execute(
        "INSERT INTO tools (id, name, description, source_code, code, entry, json_schema, tags,"
        " tier, grants, return_char_limit, enable_parallel_execution, metadata)"
        " VALUES (%s, 'asker', 'Ask.', %s, %s, 'asker', %s, '{}', 'wasm', '{llm.complete}', 1000,"
        " false, '{}')",
        (new_id("tool"), ASKER, ASKER, '{"parameters": {"type": "object", "properties": {}}}'),
    )
    agent_id = add_agent(database_rows)
    database_rows.execute("UPDATE agents SET model = 'test/m', tools = '{asker}'")
    real_bridge.kill()
    real_bridge.start()
    model = CountingModel(short_tmp / "llm.sock")
    try:
        stable = start_instance(O_BRIDGE_SOCKET=str(real_bridge.socket))
        theirs = real_bridge.socket.parents[2] / SHADOW / "out" / "bridge.sock"
        shadow = start_instance(folder="shadow", O_BRIDGE_SOCKET=str(theirs))
        for instance in (stable, shadow):
            instance.logs.append(real_bridge.log)
            instance.wait_ready(30)
        with ThreadPoolExecutor(2) as pool:
            turns = [
                pool.submit(one.say, agent_id, "go", **{"x-request-id": "r1"})
                for one in (shadow, stable)
            ]
            copied, original = ([m["content"] for m in _said(turn.result(60))] for turn in turns)
    finally:
        model.close()
    assert len(model.asked) == 1, (original, copied)
    assert original == copied == [f"said: answer 1 to {model.asked[0]}"]
    assert len(model.asked) == 1, "the shadow asked again"
    (count,) = database_rows.execute("SELECT count(*) FROM runs").fetchone() or (None,)
    assert count == 1, "the shadow left something behind"


def _said(answer: dict[str, Any]) -> list[dict[str, Any]]:
    kind = "assistant_message"
    return [message for message in answer["messages"] if message["message_type"] == kind]


def add_agent(rows: psycopg.Connection[Any]) -> str:
    agent_id = new_agent_id(1)
    rows.execute(
        "INSERT INTO agents (id, lineage, name, agent_type, system, model, model_settings,"
        " embedding, tool_rules, tools, tags)"
        " VALUES (%s, 'default', 'ada', 'letta_v1_agent', 'Be good.', 'o/echo', '{}', 'o/hash',"
        " '[]', '{memory_insert}', '{}')",
        (agent_id,),
    )
    block_id = new_id("block")
    rows.execute(
        "INSERT INTO blocks (id, label, value, char_limit, read_only, metadata, tags)"
        " VALUES (%s, 'human', 'Ada', 100, false, '{}', '{}')",
        (block_id,),
    )
    rows.execute(
        "INSERT INTO agent_blocks (agent_id, label, block_id, position)"
        " VALUES (%s, 'human', %s, 0)",
        (agent_id, block_id),
    )
    return agent_id


def test_a_conversation_is_stored_once_whatever_dies(
    start_instance: Callable[..., Any],
    real_bridge: RealBridge,
    database_rows: psycopg.Connection[Any],
) -> None:
    instance = start_instance(O_BRIDGE_SOCKET=str(real_bridge.socket))
    instance.logs.append(real_bridge.log)
    instance.wait_ready(20)
    agents = [add_agent(database_rows) for _ in range(3)]
    stop = threading.Event()

    def talk(agent_id: str) -> int:
        count = 0
        while not stop.is_set() or count < 5:
            said = f"{agent_id} {count}"
            while True:  # what Envoy does: a reset connection is tried again
                try:
                    answer = instance.say(agent_id, said, **{"x-request-id": said})
                    break
                except httpx.TransportError:
                    continue
            assert answer["messages"][0]["content"] == f"echo: {said}"
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        counts = [pool.submit(talk, agent_id) for agent_id in agents]
        for _ in range(2):
            real_bridge.kill()
            real_bridge.start()
            instance.wait_ready(20)
            instance.spare_pid()
            active = instance.active_pid()
            os.kill(active, signal.SIGKILL)
            instance.wait_active(other_than=active)
        stop.set()
        sent = [count.result(30) for count in counts]
    for agent_id, count in zip(agents, sent, strict=True):
        stored = database_rows.execute(
            "SELECT body FROM messages WHERE agent_id = %s AND type = 'user_message'", (agent_id,)
        ).fetchall()
        said = {body["content"] for (body,) in revealed(database_rows, stored)}
        assert (len(stored), len(said)) == (count, count)


def test_streams_and_errors_of_the_real_bridge(
    start_instance: Callable[..., Any],
    real_bridge: RealBridge,
    database_rows: psycopg.Connection[Any],
) -> None:
    instance = start_instance(O_BRIDGE_SOCKET=str(real_bridge.socket))
    instance.logs.append(real_bridge.log)
    instance.wait_ready(20)
    agent_id = add_agent(database_rows)
    path = f"/v1/agents/{agent_id}/messages/stream"
    text = instance.http.post(path, json={"input": "a b c", "stream_tokens": True}).text
    assert text.count('"assistant_message"') >= 1
    assert text.endswith("data: [DONE]\n\n")
    unknown = instance.send(new_agent_id(1), {"input": "x"})
    assert unknown.status_code == 404
    assert unknown.json()["code"] == "not_found"
    assert instance.say(agent_id, "still there")["messages"]
