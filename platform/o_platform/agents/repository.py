"""Queries on agents and on which blocks they hold.

Rows are locked agents first, then blocks, each in the order of their ids, so that writers who touch
several cannot wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, Text, cast, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.paging import Key, Page, fetch_page
from o_platform.db.engine import CHANNEL_AGENTS
from o_platform.db.models import Agent, AgentBlock, Block, Identity, Lineage


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


_SORT_KEYS: dict[str, Key] = {
    "created_at": Agent.created_at,
    "updated_at": Agent.updated_at,
    "last_run_completion": func.coalesce(Agent.last_run_at, text("'-infinity'::timestamptz")),
}

_BELONGINGS = text(
    """
    SELECT wanted.id, newest.ids,
        CASE WHEN newest.last_type = 'approval_request_message'
        THEN newest.ids[cardinality(newest.ids)] END,
        EXISTS (SELECT FROM agent_folders f WHERE f.agent_id = wanted.id),
        ARRAY(SELECT s.name FROM agent_secrets s WHERE s.agent_id = wanted.id ORDER BY s.name)
    FROM unnest(CAST(:agent_ids AS text[])) AS wanted(id),
    LATERAL (
        SELECT array_agg(m.id ORDER BY m.seq) AS ids,
            (array_agg(m.type ORDER BY m.seq DESC))[1] AS last_type FROM (
            SELECT id, seq, type FROM messages
            WHERE agent_id = wanted.id AND conversation_id IS NULL ORDER BY seq DESC LIMIT :newest
        ) AS m
    ) AS newest
    """
)


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
    session: AsyncSession, wanted: AgentFilter, page: Page, order_by: str = "created_at"
) -> list[Agent]:
    """A page of the agents that pass the filter.

    `order_by` is created_at, updated_at or last_run_completion.
    """
    keys = (_SORT_KEYS[order_by], Agent.id)
    return await fetch_page(session, _filtered(wanted), Agent.id, keys, page)


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


@dataclass(frozen=True, slots=True)
class Belongings:
    """What is an agent's, besides its blocks.

    Ids of its newest messages, oldest first, and of the last one if it waits; whether it reads
    folders; the names of its secrets in alphabetical order.
    """

    message_ids: list[str]
    pending_id: str | None
    has_folders: bool
    secrets: list[str]


async def fetch_belongings(
    session: AsyncSession, agent_ids: Sequence[str], newest: int
) -> dict[str, Belongings]:
    """What is each agent's; of its messages the `newest`."""
    rows = await session.execute(_BELONGINGS, {"agent_ids": list(agent_ids), "newest": newest})
    return {
        agent_id: Belongings(ids or [], pending, has_folders, secrets)
        for agent_id, ids, pending, has_folders, secrets in rows
    }


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


async def fetch_blocks_of(
    session: AsyncSession, agent_ids: Sequence[str]
) -> dict[str, list[Block]]:
    """The blocks of each of these agents, in their order."""
    rows = await session.execute(
        select(AgentBlock.agent_id, Block)
        .join(Block, Block.id == AgentBlock.block_id)
        .where(AgentBlock.agent_id.in_(agent_ids))
        .order_by(AgentBlock.agent_id, AgentBlock.position)
        .execution_options(populate_existing=True)
    )
    blocks: dict[str, list[Block]] = {agent_id: [] for agent_id in agent_ids}
    for agent_id, block in rows:
        blocks[agent_id].append(block)
    return blocks


async def fetch_attachments(session: AsyncSession, agent_id: str) -> list[AgentBlock]:
    """Which block the agent holds under which label, in their order."""
    wanted = select(AgentBlock).where(AgentBlock.agent_id == agent_id)
    return list(await session.scalars(wanted.order_by(AgentBlock.position)))


def _filtered(wanted: AgentFilter) -> Select[Agent]:
    statement = select(Agent)
    if wanted.name is not None:
        statement = statement.where(Agent.name == wanted.name)
    if wanted.query_text:
        statement = statement.where(Agent.name.icontains(wanted.query_text, autoescape=True))
    if wanted.tags:
        holds = Agent.tags.bool_op("@>" if wanted.match_all_tags else "&&")
        statement = statement.where(holds(cast(list(wanted.tags), ARRAY(Text))))
    if wanted.last_stop_reason is not None:
        statement = statement.where(Agent.last_stop_reason == wanted.last_stop_reason)
    if wanted.lineage is not None:
        statement = statement.where(Agent.lineage == wanted.lineage)
    if wanted.block_id is not None:
        holders = select(AgentBlock.agent_id).where(AgentBlock.block_id == wanted.block_id)
        statement = statement.where(Agent.id.in_(holders))
    if wanted.identity_id is not None:
        has = Agent.identity_ids.bool_op("@>")
        statement = statement.where(has(cast([wanted.identity_id], ARRAY(Text))))
    if wanted.identifier_keys:
        named = Identity.identifier_key.in_(list(wanted.identifier_keys))
        ids = select(func.array_agg(Identity.id)).where(named).scalar_subquery()
        statement = statement.where(Agent.identity_ids.bool_op("&&")(ids))
    return statement
