"""Queries on MCP servers and their tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents import repository
from o_platform.db.models import Agent, McpServer, McpTool
from o_platform.db.sealed_columns import SERVER_CONFIG
from o_platform.db.sealing import Vault
from o_platform.errors import NotFoundError

_TARGET = """
SELECT s.id, s.name, s.kind, s.config, t.name
FROM agents a JOIN mcp_tools t ON t.id = ANY (a.tools) JOIN mcp_servers s ON s.id = t.server_id
WHERE a.id = %s AND t.name = %s
"""


class McpTarget(NamedTuple):
    """A tool of a server, and how to reach that."""

    server_id: str
    server_name: str
    kind: str
    config: dict[str, Any]
    tool: str


async def find_target(
    connection: AsyncConnection, vault: Vault, agent_id: str, tool_name: str
) -> McpTarget | None:
    """The MCP tool that the agent has under this name."""
    row = await (await connection.execute(_TARGET, (agent_id, tool_name))).fetchone()
    if row is None:
        return None
    server_id, name, kind, config, tool = row
    return McpTarget(server_id, name, kind, SERVER_CONFIG.opened(vault, config, server_id), tool)


async def fetch_server(session: AsyncSession, server_id: str, *, lock: bool = False) -> McpServer:
    """The server with this id, locked until the transaction ends if asked.

    Raises:
        NotFoundError: there is none.
    """
    server = await session.get(
        McpServer, server_id, with_for_update=True if lock else None, populate_existing=lock
    )
    if server is None:
        raise NotFoundError(f"no MCP server has the id {server_id!r}", mcp_server_id=server_id)
    return server


async def list_servers(session: AsyncSession) -> list[McpServer]:
    """Every server, oldest first."""
    ordered = select(McpServer).order_by(McpServer.created_at, McpServer.id)
    return list(await session.scalars(ordered))


async def list_tools(session: AsyncSession, server_id: str) -> list[McpTool]:
    """A server's tools by name."""
    wanted = select(McpTool).where(McpTool.server_id == server_id).order_by(McpTool.name)
    return list(await session.scalars(wanted))


async def fetch_tools(session: AsyncSession, ids: Iterable[str]) -> dict[str, McpTool]:
    """Those of these ids that are tools of MCP servers."""
    rows = await session.scalars(select(McpTool).where(McpTool.id.in_(set(ids))))
    return {tool.id: tool for tool in rows}


async def fetch_tool(session: AsyncSession, server_id: str, tool_id: str) -> McpTool:
    """A tool of this server.

    Raises:
        NotFoundError: it has none with this id.
    """
    tool = await session.get(McpTool, tool_id)
    if tool is None or tool.server_id != server_id:
        raise NotFoundError(f"{server_id} has no tool {tool_id!r}", tool_id=tool_id)
    return tool


async def bump_holders(
    session: AsyncSession, tool_ids: Sequence[str], gone: Sequence[str] = ()
) -> list[str]:
    """Make new versions of the agents with any of these tools, without those that are gone.

    Returns:
        The agents' ids.
    """
    has = Agent.tools.bool_op("&&")(cast([*tool_ids, *gone], ARRAY(Text)))
    holders = list(await session.scalars(select(Agent.id).where(has).order_by(Agent.id)))
    for tool_id in gone:
        taken = func.array_remove(Agent.tools, tool_id)
        change = update(Agent).where(Agent.id.in_(holders)).values(tools=taken)
        await session.execute(change.execution_options(synchronize_session=False))
    await repository.bump_agents(session, holders)
    return holders
