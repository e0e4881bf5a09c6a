"""MCP servers: a real one, spoken to over its standard streams."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from letta_client import NotFoundError
from tests.contract.live.methods.registry import World, drives

SERVER = Path(__file__).with_name("mcp_server.py")


@drives("mcp_servers.create")
def _(world: World) -> None:
    assert _server(world, "create")


@drives("mcp_servers.retrieve")
def _(world: World) -> None:
    server = _server(world, "retrieve")
    assert world.letta.mcp_servers.retrieve(server).server_name == "retrieve"


@drives("mcp_servers.list")
def _(world: World) -> None:
    server = _server(world, "list")
    assert server in [one.id for one in world.letta.mcp_servers.list()]


@drives("mcp_servers.update")
def _(world: World) -> None:
    server = _server(world, "update")
    config = {"mcp_server_type": "stdio", "command": sys.executable, "args": [str(SERVER)]}
    changed = world.letta.mcp_servers.update(server, config=config, server_name="new")  # type: ignore[arg-type]
    assert changed.server_name == "new"


@drives("mcp_servers.delete")
def _(world: World) -> None:
    server = _server(world, "delete")
    world.letta.mcp_servers.delete(server)
    with pytest.raises(NotFoundError):
        world.letta.mcp_servers.retrieve(server)


@drives("mcp_servers.refresh")
def _(world: World) -> None:
    server = _server(world, "refresh")
    world.letta.mcp_servers.refresh(server)
    assert world.letta.mcp_servers.tools.list(server)


@drives("mcp_servers.tools.list")
def _(world: World) -> None:
    server = _server(world, "tools-list")
    assert [tool.name for tool in world.letta.mcp_servers.tools.list(server)] == ["multiply"]


@drives("mcp_servers.tools.retrieve")
def _(world: World) -> None:
    server = _server(world, "tools-retrieve")
    (tool,) = world.letta.mcp_servers.tools.list(server)
    found = world.letta.mcp_servers.tools.retrieve(tool.id, mcp_server_id=server)
    assert found.name == "multiply"


@drives("mcp_servers.tools.run")
def _(world: World) -> None:
    server = _server(world, "tools-run")
    (tool,) = world.letta.mcp_servers.tools.list(server)
    result = world.letta.mcp_servers.tools.run(tool.id, mcp_server_id=server, args={"a": 6, "b": 7})
    assert (result.status, str(result.func_return)) == ("success", "42")


def _server(world: World, name: str) -> str:
    config = {"mcp_server_type": "stdio", "command": sys.executable, "args": [str(SERVER)]}
    made = world.letta.mcp_servers.create(server_name=name, config=config)  # type: ignore[arg-type]
    return str(made.id)
