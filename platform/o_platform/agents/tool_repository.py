"""Queries on tools that were added over the API, and on which agents name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.paging import Page, fetch_page
from o_platform.db.models import Agent, Tool


@dataclass(frozen=True, slots=True)
class ToolFilter:
    """Which tools to list; what is None does not restrict, an empty sequence matches none."""

    names: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    search: str | None = None
    tags: Sequence[str] | None = None


async def fetch_tool(session: AsyncSession, tool_id: str) -> Tool | None:
    """The tool with this id."""
    return await session.get(Tool, tool_id)


async def lock_tool(session: AsyncSession, tool_id: str) -> Tool | None:
    """The tool with this id, locked until the transaction ends."""
    return await session.get(Tool, tool_id, with_for_update=True, populate_existing=True)


async def find_tool(session: AsyncSession, name: str) -> Tool | None:
    """The tool with this name, locked until the transaction ends."""
    wanted = select(Tool).where(Tool.name == name).with_for_update()
    found: Tool | None = await session.scalar(wanted)
    return found


async def fetch_named(session: AsyncSession, names: Iterable[str]) -> dict[str, Tool]:
    """Those of these names that are tools of this table."""
    rows = await session.scalars(select(Tool).where(Tool.name.in_(set(names))))
    return {tool.name: tool for tool in rows}


async def fetch_many(session: AsyncSession, ids: Iterable[str]) -> dict[str, Tool]:
    """Those of these ids that are tools of this table."""
    rows = await session.scalars(select(Tool).where(Tool.id.in_(set(ids))))
    return {tool.id: tool for tool in rows}


async def list_tools(session: AsyncSession, wanted: ToolFilter, page: Page) -> list[Tool]:
    """A page of tools by their time of creation."""
    statement = select(Tool)
    if wanted.names is not None:
        statement = statement.where(Tool.name.in_(list(wanted.names)))
    if wanted.ids is not None:
        statement = statement.where(Tool.id.in_(list(wanted.ids)))
    if wanted.search:
        statement = statement.where(Tool.name.icontains(wanted.search, autoescape=True))
    if wanted.tags is not None:
        shares = Tool.tags.bool_op("&&")
        statement = statement.where(shares(cast(list(wanted.tags), ARRAY(Text))))
    return await fetch_page(session, statement, Tool.id, (Tool.created_at, Tool.id), page)


async def agents_with(session: AsyncSession, name: str) -> list[str]:
    """Ids of the agents that name this tool, in order."""
    holds = Agent.tools.bool_op("@>")
    wanted = select(Agent.id).where(holds(cast([name], ARRAY(Text)))).order_by(Agent.id)
    return list(await session.scalars(wanted))


async def take_from_agents(session: AsyncSession, name: str, new_name: str | None = None) -> None:
    """Let agents no longer name this tool, or name it differently."""
    holds = Agent.tools.bool_op("@>")
    value = (
        func.array_remove(Agent.tools, name)
        if new_name is None
        else func.array_replace(Agent.tools, name, new_name)
    )
    await session.execute(
        update(Agent).where(holds(cast([name], ARRAY(Text)))).values(tools=value)
        .execution_options(synchronize_session=False)
    )  # fmt: skip
