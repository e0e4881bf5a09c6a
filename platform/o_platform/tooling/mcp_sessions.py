"""Connections to MCP servers that are kept between calls, for turns.

A connection is opened by the first call, in a task of its own that serves calls side by side until
none has come for a while. Another configuration of a server is another connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from asyncio import Future, Queue
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from o_platform.agents.mcp_repository import McpTarget
from o_platform.errors import OError
from o_platform.tooling.mcp_client import McpError, McpResult, call_tool, connected

if TYPE_CHECKING:
    from mcp import Client

IDLE_S: Final = 300.0
_log = logging.getLogger(__name__)
Spawn = Callable[[Coroutine[Any, Any, None]], object]


class _Call(NamedTuple):
    tool: str
    arguments: dict[str, Any]
    answer: Future[McpResult]


class McpSessions:
    """Calls tools of MCP servers."""

    def __init__(self, spawn: Spawn, *, idle_s: float = IDLE_S) -> None:
        """`spawn` runs connections in the background; one is closed after `idle_s` of silence."""
        self._spawn = spawn
        self._idle_s = idle_s
        self._open: dict[str, Queue[_Call]] = {}

    async def call(self, target: McpTarget, arguments: dict[str, Any]) -> McpResult:
        """Call a tool.

        Raises:
            McpError: its server cannot be reached, broke off, or did not answer in time.
        """
        name = json.dumps([target.server_id, target.kind, target.config], sort_keys=True)
        queue = self._open.get(name)
        if queue is None:
            queue = self._open[name] = Queue()
            self._spawn(self._serve(name, target, queue))
        call = _Call(target.tool, arguments, asyncio.get_running_loop().create_future())
        queue.put_nowait(call)
        return await call.answer

    async def _serve(self, name: str, target: McpTarget, queue: Queue[_Call]) -> None:
        problem: OError = McpError(f"the MCP server {target.server_name!r} was closed")
        running: list[_Call] = []
        try:
            async with connected(target.server_name, target.kind, target.config) as client:
                async with asyncio.TaskGroup() as tasks:
                    async for call in self._calls(name, queue):
                        running = [one for one in running if not one.answer.done()] + [call]
                        tasks.create_task(_answer(client, call))
        except OError as error:
            _log.info("an MCP server failed: %s", error.message)
            problem = error
        finally:
            self._open.pop(name, None)
            waiting = [queue.get_nowait() for _ in range(queue.qsize())]
            for call in (*running, *waiting):
                if not call.answer.done():
                    call.answer.set_exception(problem)

    async def _calls(self, name: str, queue: Queue[_Call]) -> Any:
        """The calls, until none comes for a while; none can come after that."""
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    call = await queue.get()
            except TimeoutError:
                self._open.pop(name, None)
                return
            yield call


async def _answer(client: Client, call: _Call) -> None:
    """A failed call ends the connection: the next one gets a fresh one."""
    result = await call_tool(client, call.tool, call.arguments)
    if not call.answer.done():
        call.answer.set_result(result)
