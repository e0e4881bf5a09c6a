"""MCP tools in turns: called once, over a connection that is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from o_contracts.bridge import TOOL_CALL, ToolCallRequest, ToolCallResult
from o_contracts.ids import new_id

pytestmark = pytest.mark.integration
SERVER = Path(__file__).parents[2] / "contract/live/methods/mcp_server.py"
PROGRAM = """
import os, sys, runpy
open(sys.argv[1], "a").write("started\\n")
sys.argv = ["server"]
runpy.run_path({server!r}, run_name="__main__")
"""


@pytest.fixture
def caller(rows: Any, tmp_path: Path) -> str:
    """An agent with the tool `multiply` of a program that notes its starts in `starts`."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(server=str(SERVER)))
    server, tool = new_id("mcp_server"), new_id("tool")
    config = {"command": sys.executable, "args": [str(program), str(tmp_path / "starts")]}
    values = {"id": server, "name": "numbers", "kind": "stdio", "config": Jsonb(config)}
    rows._insert("mcp_servers", values)
    rows._insert(
        "mcp_tools",
        {"id": tool, "server_id": server, "name": "multiply", "description": "Multiply.",
         "parameters": Jsonb({"type": "object"})},
    )  # fmt: skip
    return str(rows.agent(tools=["memory_insert", tool]))


async def call_tool(worker: Any, turn: Any, arguments: str, seq: int = 0) -> ToolCallResult:
    """Its program may take long to start, on a busy machine."""
    call = ToolCallRequest(turn.token, turn.run_id, seq, f"call-{seq}", "multiply", arguments)
    return await worker.peer.ask(TOOL_CALL, call, ToolCallResult, timeout_s=90)  # type: ignore[no-any-return]


async def test_a_call_is_made_once(
    bridge: Any, new_worker: Any, rows: Any, caller: str, tmp_path: Path
) -> None:
    worker = await new_worker()
    turn = await worker.open(caller, "request-1")
    spec = turn.context.tools[-1]
    assert (spec.name, spec.home, spec.code) == ("multiply", "bridge", None)
    call = json.dumps({"a": 6, "b": 7})
    first = await call_tool(worker, turn, call)
    assert (first.result.status, first.result.tool_return) == ("success", "42")
    failed = await call_tool(worker, turn, '{"a": -1, "b": 7}', 1)
    assert failed.result.status == "error"
    assert "multiply" in failed.result.tool_return
    wrong = await call_tool(worker, turn, "[]", 2)
    assert "no JSON object" in wrong.result.tool_return
    assert (tmp_path / "starts").read_text() == "started\n"
    assert rows.one("SELECT count(*) FROM journal WHERE kind = 'tool'") == 2

    rows.all("UPDATE mcp_servers SET config = '{}' RETURNING id")
    await worker.peer.die()
    heir = await new_worker()
    again = await heir.open(caller, "request-1", attempt=2)
    assert (await call_tool(heir, again, call)).result.tool_return == "42"
    await heir.commit(caller, again)
    assert rows.one("SELECT count(*) FROM journal") == 0


async def test_a_server_that_is_gone_is_told_to_the_model(
    bridge: Any, new_worker: Any, rows: Any, caller: str
) -> None:
    gone = Jsonb({"command": "/no/such/program", "args": []})
    rows.all("UPDATE mcp_servers SET config = %s RETURNING id", gone)
    worker = await new_worker()
    turn = await worker.open(caller)
    for seq in range(2):
        told = await call_tool(worker, turn, '{"a": 1, "b": 2}', seq)
        assert told.result.status == "error"
        assert "numbers" in told.result.tool_return
