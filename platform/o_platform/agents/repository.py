"""Queries on agents and on which blocks they hold.

Rows are locked agents first, then blocks, each in the order of their ids, so that writers who touch
several cannot wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.paging import Page
from o_platform.agents.selection import Selection
from o_platform.db.engine import CHANNEL_AGENTS, Ask
from o_platform.db.models import Agent, AgentBlock, Lineage


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Which agents to list; what is absent does not restrict."""

    name: str | None = None
    query_text: str | None = None
    tags: Sequence[str] = ()
    match_all_tags: bool = False
    last_stop_reason: str | None = None
    block_id: str | None = None
    identity_id: str | None = None
    identifier_keys: Sequence[str] = ()
    lineage: str | None = None


_SORT_KEYS: Final = {
    "created_at": "r.created_at",
    "updated_at": "r.updated_at",
    "last_run_completion": "coalesce(r.last_run_at, '-infinity'::timestamptz)",
}


async def fetch_lineage(session: AsyncSession, name: str) -> Lineage | None:
    """The lineage with this name."""
    return await session.get(Lineage, name)


async def fetch_agent(session: AsyncSession, agent_id: str) -> Agent | None:
    """The agent with this id."""
    return await session.get(Agent, agent_id)


async def lock_agent(session: AsyncSession, agent_id: str) -> Agent | None:
    """The agent with this id, locked until the transaction ends."""
    return await session.get(Agent, agent_id, with_for_update=True, populate_existing=True)


async def lock_agents(session: AsyncSession, agent_ids: Iterable[str]) -> None:
    """Lock these agents in the order of their ids."""
    ids = sorted(agent_ids)
    if ids:
        wanted = select(Agent.id).where(Agent.id.in_(ids)).order_by(Agent.id)
        await session.execute(wanted.with_for_update())


async def list_agents(
    ask: Ask, wanted: AgentFilter, page: Page, order_by: str, *, document: str
) -> list[Any]:
    """The documents of a page of the agents that pass the filter (`Selection.page`).

    `order_by` is created_at, updated_at or last_run_completion.
    """
    keys = (_SORT_KEYS[order_by], "r.id")
    return await _filtered(wanted).page(ask, keys, page, document)


async def delete_agent(session: AsyncSession, agent_id: str) -> None:
    """Delete the agent and all that is only its own; its blocks stay."""
    await session.execute(delete(Agent).where(Agent.id == agent_id))


async def bump_agents(session: AsyncSession, agent_ids: Sequence[str]) -> None:
    """Raise the version of these agents' contexts and announce it on commit."""
    if not agent_ids:
        return
    if len(agent_ids) > 1:
        await lock_agents(session, agent_ids)
    await session.execute(
        update(Agent)
        .where(Agent.id.in_(agent_ids))
        .values(version=Agent.version + 1, updated_at=func.now())
        .execution_options(synchronize_session="fetch")
    )
    await announce_agents(session, agent_ids)


async def announce_agents(session: AsyncSession, agent_ids: Sequence[str]) -> None:
    """Tell listeners, on commit, that these agents' contexts changed."""
    each = func.unnest(cast(list(agent_ids), ARRAY(Text)))
    await session.execute(select(func.pg_notify(CHANNEL_AGENTS, each)))


async def list_tags(
    session: AsyncSession, page: Page, contains: str | None, name: str | None
) -> list[str]:
    """A page of the distinct tags of all agents, ordered by themselves."""
    each = select(func.unnest(Agent.tags).label("tag")).subquery()
    tag: ColumnElement[str] = each.c.tag
    wanted = select(tag).distinct()
    if contains:
        wanted = wanted.where(tag.icontains(contains, autoescape=True))
    if name:
        wanted = wanted.where(tag == name)
    if page.after is not None:
        wanted = wanted.where(tag < page.after if page.descending else tag > page.after)
    if page.before is not None:
        wanted = wanted.where(tag > page.before if page.descending else tag < page.before)
    backwards = page.before is not None and page.after is None
    ordering = tag.desc() if page.descending is not backwards else tag.asc()
    rows = list(await session.scalars(wanted.order_by(ordering).limit(page.limit)))
    return rows[::-1] if backwards else rows


async def fetch_attachments(session: AsyncSession, agent_id: str) -> list[AgentBlock]:
    """Which block the agent holds under which label, in their order."""
    wanted = select(AgentBlock).where(AgentBlock.agent_id == agent_id)
    return list(await session.scalars(wanted.order_by(AgentBlock.position)))


def _filtered(wanted: AgentFilter) -> Selection:
    agents = Selection("agents", "r.*, r.xmin")
    if wanted.name is not None:
        agents.where("r.name = {}", wanted.name)
    if wanted.query_text:
        agents.where("strpos(lower(r.name), lower({})) > 0", wanted.query_text)
    if wanted.tags:
        holds = "@>" if wanted.match_all_tags else "&&"
        agents.where(f"r.tags {holds} {{}}::text[]", wanted.tags)
    if wanted.last_stop_reason is not None:
        agents.where("r.last_stop_reason = {}", wanted.last_stop_reason)
    if wanted.lineage is not None:
        agents.where("r.lineage = {}", wanted.lineage)
    if wanted.block_id is not None:
        holders = "SELECT agent_id FROM agent_blocks WHERE block_id = {}"
        agents.where(f"r.id IN ({holders})", wanted.block_id)
    if wanted.identity_id is not None:
        agents.where("r.identity_ids @> {}::text[]", [wanted.identity_id])
    if wanted.identifier_keys:
        named = "SELECT array_agg(id) FROM identities WHERE identifier_key = ANY ({}::text[])"
        agents.where(f"r.identity_ids && ({named})", wanted.identifier_keys)
    return agents
