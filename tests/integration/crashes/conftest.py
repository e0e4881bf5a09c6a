"""A platform whose every part may be killed, database included, and a model that waits to answer.

Turns are held at a place by what they need there: a table that is locked, a model that does not
answer, a worker that is stopped. So a part dies exactly where the test wants, without a sleep.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import sql
from tests.integration.bridge.test_recovery import serving_pid
from tests.integration.turns.conftest import TurnPlatform, running_platform

from o_contracts.frames import decode_body
from o_contracts.llm import LlmRequest, LlmResult
from o_contracts.messages import ToolCall, Usage
from o_platform.db.embedded import EmbeddedServer
from o_platform.db.migrate import upgrade
from o_platform.llm.server import Exchange, listening_socket
from o_platform.testing import require
from o_platform.testing.model import ModelThread
from o_platform.testing.postgres import short_folder, start_server
from o_platform.testing.waiting import until

WITHIN_S = 120.0


class Model:
    """The gateway's place: has a tool called twice, then says `done`; each call when it may.

    It notes a line in the block `human` and searches, both with what the user said.
    """

    def __init__(self, path: Path) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        """How often by what the user said and the number of the step."""
        self._holding: tuple[str, int] | None = None
        self._may_answer = asyncio.Event()
        self._thread = ModelThread(_listener(path), self._answer)

    @contextmanager
    def holding(self, text: str, step: int) -> Iterator[Callable[[], None]]:
        """In here this call is not answered, unless what is given is called."""
        self._may_answer.clear()
        self._holding = (text, step)
        try:
            yield self._let_answer
        finally:
            self._let_answer()

    def _let_answer(self) -> None:
        self._holding = None
        self._thread.call_soon(self._may_answer.set)

    def close(self) -> None:
        self._thread.close()

    async def _answer(self, exchange: Exchange) -> LlmResult:
        request = decode_body(exchange.frame, LlmRequest)
        said = str([m.content for m in request.messages if m.role == "user"][-1])
        self.asked[said, request.seq] += 1
        if self._holding == (said, request.seq):
            await self._may_answer.wait()
        exchange.streaming = request.stream
        usage = Usage(10, 2)
        if request.seq > 0:
            return LlmResult("done", usage=usage, model=request.model)
        note = json.dumps({"label": "human", "new_string": said})
        calls = [
            ToolCall("call-1", "memory_insert", note),
            ToolCall("call-2", "conversation_search", json.dumps({"query": said})),
        ]
        return LlmResult(tool_calls=calls, finish_reason="tool_calls", usage=usage)


OPTIONS = {"fsync": "off", "shared_buffers": "32MB"}
"""What a killed process has written is the kernel's; only a power cut would lose it."""


class Database:
    """A PostgreSQL of the test's own."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self._process = start_server(server, OPTIONS)

    def kill(self) -> None:
        """Kill every process of it, and start it again."""
        family = [self._process.pid, *(p.pid for p in psutil.Process(self._process.pid).children())]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        wait_for(lambda: not any(map(psutil.pid_exists, family)))
        self._process = start_server(self.server, OPTIONS)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)

    def lock(self, table: str) -> TableLock:
        """Let nobody read or write the table."""
        return TableLock(self.server.url, table)


class TableLock:
    """A lock on a table, and who waits for it."""

    def __init__(self, url: str, table: str) -> None:
        self._table = table
        self._holder = psycopg.connect(url)
        self._watching = psycopg.connect(url, autocommit=True)
        lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")
        self._holder.execute(lock.format(sql.Identifier(table)))

    def holds_up(self, part: str) -> bool:
        """Whether a query that has this part waits for the lock."""
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE strpos(query, %s) > 0 AND pid IN"
            " (SELECT pid FROM pg_locks WHERE NOT granted AND relation = %s::regclass)"
        )
        ((count,),) = self._watching.execute(query, (part, self._table)).fetchall()
        return bool(count)

    def release(self) -> None:
        """Let everybody go on; a database that was killed has done so."""
        self._holder.close()
        self._watching.close()


class World:
    """The platform, its database and its model."""

    def __init__(self, platform: TurnPlatform, database: Database, model: Model) -> None:
        self.platform = platform
        # The control plane says 503 for a connection that died with PostgreSQL; clients repeat.
        self.letta = platform.letta.with_options(max_retries=4)
        self.database = database
        self.model = model

    def agent(self) -> str:
        """Make an agent of the model; returns its id."""
        blocks: Any = [{"label": "human", "value": "Ada"}]
        return self.letta.agents.create(model="test/m", memory_blocks=blocks).id

    def settle(self) -> None:
        """Wait until everything is as after a start: a spare may serve in the bridge's place."""
        asyncio.run(self._settled())

    async def _settled(self) -> None:
        control, bridge = (
            self.platform.settings.run / "bridge.sock",
            self.platform.processes["bridge"],
        )
        async with asyncio.timeout(WITHIN_S):
            while await serving_pid(control) != bridge.pid:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await until(self.platform.workers, WITHIN_S)

    def kill(self, part: str) -> None:
        """Kill a part and see to what the supervisor or the engine would."""
        if part == "instance":
            self.platform.kill_workers()
        elif part == "bridge":
            self.platform.restart_bridge()
        else:
            self.database.kill()

    def stop_workers(self) -> None:
        """Let workers do nothing, whatever they get."""
        for pid in self.platform.workers():
            os.kill(pid, signal.SIGSTOP)

    def continue_workers(self) -> None:
        for pid in self.platform.workers():
            os.kill(pid, signal.SIGCONT)

    def rows(self, query: str, *values: object) -> list[Any]:
        return self.platform.rows(query, *values)


def wait_for(condition: Callable[[], Any]) -> None:
    asyncio.run(until(condition, WITHIN_S))


def _listener(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return listening_socket(str(path))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    for part in ("envoy", "postgres"):
        require(part)
    with short_folder() as folder:
        server = EmbeddedServer(folder / "pg", folder / "s", folder / "cache")
        server.prepare()
        database = Database(server)
        upgrade(server.url)
        try:
            with running_platform(server.url) as platform:
                model = Model(platform.settings.run / "llm.sock")
                try:
                    yield World(platform, database, model)
                finally:
                    model.close()
        finally:
            database.stop()
