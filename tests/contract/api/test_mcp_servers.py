"""MCP servers over the API, real ones: by standard streams, SSE and streamable HTTP."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from letta_client import APIStatusError, ConflictError, Letta, NotFoundError

from o_platform.testing.waiting import until

pytestmark = pytest.mark.contract
SERVER = Path(__file__).parents[1] / "live/methods/mcp_server.py"
STDIO = {"mcp_server_type": "stdio", "command": sys.executable, "args": [str(SERVER)]}
OPERATOR = {"x-o-role": "operator"}


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts a server that listens; returns its port."""
    running: list[subprocess.Popen[bytes]] = []

    def start(kind: str) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        command = [sys.executable, str(SERVER), kind, str(port)]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        asyncio.run(until(lambda: _listens(port), 60))
        return port

    yield start
    for process in running:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_program(letta: Letta) -> None:
    servers = letta.with_options(default_headers=OPERATOR).mcp_servers
    secret = {**STDIO, "env": {"KEY": "hidden"}}
    made = servers.create(server_name="numbers", config=secret)  # type: ignore[arg-type]
    assert made.env == {"KEY": "***"}  # type: ignore[union-attr]
    with pytest.raises(ConflictError, match="numbers"):
        servers.create(server_name="numbers", config=STDIO)  # type: ignore[arg-type]
    (tool,) = servers.tools.list(str(made.id))
    assert (tool.name, tool.tool_type) == ("multiply", "external_mcp")
    good = servers.tools.run(tool.id, mcp_server_id=str(made.id), args={"a": 6, "b": 7})
    assert (good.status, good.func_return) == ("success", "42")
    bad = servers.tools.run(tool.id, mcp_server_id=str(made.id), args={"a": -1, "b": 7})
    assert bad.status == "error"
    assert "multiply" in str(bad.func_return)

    agent = letta.agents.create(tool_ids=[tool.id]).id
    assert "multiply" in [one.name for one in letta.agents.tools.list(agent)]
    run = letta.agents.tools.run("multiply", agent_id=agent, args={"a": 2, "b": 3})
    assert run.func_return == "6"
    mine = letta.tools.create(source_code='def multiply() -> int:\n    """Do."""\n    return 1')
    with pytest.raises(ConflictError, match="multiply"):
        letta.agents.tools.attach(mine.id, agent_id=agent)
    letta.agents.tools.update_approval("multiply", agent_id=agent, body_requires_approval=True)
    servers.delete(str(made.id))
    assert "multiply" not in [one.name for one in letta.agents.tools.list(agent)]
    with pytest.raises(NotFoundError):
        servers.retrieve(str(made.id))


@pytest.mark.parametrize(("kind", "path"), [("sse", "sse"), ("streamable-http", "mcp")])
def test_a_server_that_listens(letta: Letta, started: Any, kind: str, path: str) -> None:
    config = {
        "mcp_server_type": kind.replace("-", "_"),
        "server_url": f"http://127.0.0.1:{started(kind)}/{path}",
    }
    config["auth_token"] = kind
    made = letta.mcp_servers.create(server_name="numbers", config=config)  # type: ignore[arg-type]
    assert "***" in str(made)
    assert kind not in str(made.auth_token)  # type: ignore[union-attr]
    (tool,) = letta.mcp_servers.tools.list(str(made.id))
    result = letta.mcp_servers.tools.run(tool.id, mcp_server_id=str(made.id), args={"a": 6, "b": 7})
    assert result.func_return == "42"


def test_what_cannot_be_reached_is_told(letta: Letta) -> None:
    config = {"mcp_server_type": "streamable_http", "server_url": "http://127.0.0.1:9/mcp"}
    with pytest.raises(APIStatusError, match="numbers") as refusal:
        letta.mcp_servers.create(server_name="numbers", config=config)  # type: ignore[arg-type]
    assert refusal.value.status_code == 502
    missing = {**STDIO, "command": "/no/such/program"}
    operator = letta.with_options(default_headers=OPERATOR)
    with pytest.raises(APIStatusError) as broken:
        operator.mcp_servers.create(server_name="x", config=missing)  # type: ignore[arg-type]
    assert broken.value.status_code == 502
    assert letta.mcp_servers.list() == []


def test_programs_are_for_operators(http: httpx.Client) -> None:
    body = {"server_name": "x", "config": STDIO}
    answer = http.post("/v1/mcp-servers/", json=body, headers={"x-o-role": "client"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    for config, places in (
        ({"server_url": "x"}, [["streamable_http", "server_url"]]),
        ({"mcp_server_type": "sse"}, [["sse", "server_url"]]),
        ({"command": 5}, [["stdio", "command"]]),
        ({"mcp_server_type": "telepathy"}, [[]]),
    ):  # what is wrong with the kind that is meant, and nothing of the other
        wrong = http.post("/v1/mcp-servers/", json={"server_name": "x", "config": config})
        assert wrong.status_code == 422
        assert [one["loc"][2:] for one in wrong.json()["detail"]] == places
