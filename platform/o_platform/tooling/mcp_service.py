"""What can be done with MCP servers: connect to them, read their tools, run one.

A server is asked for its tools when it is added, changed or refreshed, outside of transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.agents import mcp_repository as repository
from o_platform.agents.cache import ContextCache
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import McpServer, McpTool
from o_platform.errors import ConflictError
from o_platform.tooling.mcp_client import (
    McpResult,
    OfferedTool,
    call_tool,
    connected,
    offered_tools,
)


@dataclass(frozen=True, slots=True)
class McpConfig:
    """How to reach a server; `values` depends on `kind`: stdio, sse or streamable_http."""

    kind: str
    values: dict[str, Any]


class McpService:
    """Adds, reads, changes and deletes MCP servers, and runs their tools."""

    def __init__(self, database: Database, cache: ContextCache) -> None:
        """`cache` is told of the agents whose tools change."""
        self._database = database
        self._cache = cache

    async def create(self, name: str, config: McpConfig) -> McpServer:
        """Add a server, with the tools that it has now.

        Raises:
            ConflictError: its name is taken.
            McpError: it cannot be reached.
        """
        offered = await _offered(name, config)
        server = McpServer(
            id=new_id("mcp_server"), name=name, kind=config.kind, config=config.values
        )
        try:
            async with self._database.unit_of_work() as session:
                session.add(server)
                await session.flush()
                await _keep_tools(session, server.id, offered)
                await session.refresh(server)
                return server
        except IntegrityError as error:
            raise _taken(name) from error

    async def fetch(self, server_id: str) -> McpServer:
        """The server with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            return await repository.fetch_server(session, server_id)

    async def list(self) -> Sequence[McpServer]:
        """Every server, oldest first."""
        async with self._database.unit_of_work() as session:
            return await repository.list_servers(session)

    async def update(self, server_id: str, name: str | None, config: McpConfig) -> McpServer:
        """Change a server, and read its tools anew.

        Raises:
            NotFoundError: there is none.
            ConflictError: its new name is taken.
            McpError: it cannot be reached as it is to be.
        """
        present = await self.fetch(server_id)
        offered = await _offered(name or present.name, config)

        async def change(session: AsyncSession) -> tuple[McpServer, list[str]]:
            server = await repository.fetch_server(session, server_id, lock=True)
            server.name = name or server.name
            server.kind, server.config = config.kind, config.values
            server.updated_at = func.now()
            await session.flush()
            holders = await _keep_tools(session, server_id, offered)
            await session.refresh(server)
            return server, holders

        try:
            server, holders = await in_unit(self._database, change)
        except IntegrityError as error:
            raise _taken(name or "") from error
        await self._cache.drop(holders)
        return server

    async def refresh(self, server_id: str) -> Sequence[McpTool]:
        """Read a server's tools anew; those that it has no more are taken from agents.

        Raises:
            NotFoundError: there is no such server.
            McpError: it cannot be reached.
        """
        server = await self.fetch(server_id)
        offered = await _offered(server.name, McpConfig(server.kind, server.config))

        async def change(session: AsyncSession) -> list[str]:
            await repository.fetch_server(session, server_id, lock=True)
            return await _keep_tools(session, server_id, offered)

        await self._cache.drop(await in_unit(self._database, change))
        return await self.tools(server_id)

    async def delete(self, server_id: str) -> None:
        """Delete a server; its tools are taken from agents.

        Raises:
            NotFoundError: there is none.
        """

        async def change(session: AsyncSession) -> list[str]:
            server = await repository.fetch_server(session, server_id, lock=True)
            tools = await repository.list_tools(session, server_id)
            gone = [tool.id for tool in tools]
            holders = await repository.bump_holders(session, [], gone)
            await session.delete(server)
            return holders

        await self._cache.drop(await in_unit(self._database, change))

    async def tools(self, server_id: str) -> Sequence[McpTool]:
        """A server's tools by name.

        Raises:
            NotFoundError: there is no such server.
        """
        async with self._database.unit_of_work() as session:
            await repository.fetch_server(session, server_id)
            return await repository.list_tools(session, server_id)

    async def tool(self, server_id: str, tool_id: str) -> McpTool:
        """A tool of a server.

        Raises:
            NotFoundError: no such server or tool.
        """
        async with self._database.unit_of_work() as session:
            await repository.fetch_server(session, server_id)
            return await repository.fetch_tool(session, server_id, tool_id)

    async def run(self, tool: McpTool, arguments: dict[str, Any]) -> McpResult:
        """Run a tool once, outside any turn.

        Raises:
            NotFoundError: its server is gone.
            McpError: its server cannot be reached.
        """
        server = await self.fetch(tool.server_id)
        async with connected(server.name, server.kind, server.config) as client:
            return await call_tool(client, tool.name, arguments)


async def _offered(name: str, config: McpConfig) -> list[OfferedTool]:
    async with connected(name, config.kind, config.values) as client:
        return await offered_tools(client)


async def _keep_tools(
    session: AsyncSession, server_id: str, offered: Sequence[OfferedTool]
) -> list[str]:
    """Make a server's tools what it offers; returns the agents concerned."""
    present = {tool.name: tool for tool in await repository.list_tools(session, server_id)}
    wanted = {tool.name: tool for tool in offered}
    changed, gone = [], [tool.id for name, tool in present.items() if name not in wanted]
    for name, tool in wanted.items():
        if name not in present:
            session.add(_row(server_id, tool))
        elif (present[name].description, present[name].parameters) != tool_facts(tool):
            present[name].description, present[name].parameters = tool_facts(tool)
            changed.append(present[name].id)
    for name in present.keys() - wanted.keys():
        await session.delete(present[name])
    await session.flush()
    if not changed and not gone:
        return []
    return await repository.bump_holders(session, changed, gone)


def tool_facts(tool: OfferedTool) -> tuple[str, dict[str, Any]]:
    """What the model is told of a tool."""
    return tool.description, tool.parameters


def _row(server_id: str, tool: OfferedTool) -> McpTool:
    description, parameters = tool_facts(tool)
    return McpTool(
        id=new_id("tool"), server_id=server_id, name=tool.name, description=description,
        parameters=parameters,
    )  # fmt: skip


def _taken(name: str) -> ConflictError:
    return ConflictError(f"an MCP server named {name!r} exists; choose another name", name=name)
