"""Queries on blocks, and on who holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ScalarSelect, Select, Text, cast, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.paging import Page, fetch_page
from o_platform.db.models import AgentBlock, Block
from o_platform.db.scan import contains, scan


@dataclass(frozen=True, slots=True)
class BlockFilter:
    """Which blocks to list; what is absent does not restrict."""

    label: str | None = None
    label_search: str | None = None
    value_search: str | None = None
    description_search: str | None = None
    tags: Sequence[str] = ()
    match_all_tags: bool = False
    holders_more_than: int | None = None
    holders_less_than: int | None = None
    holders_exactly: Sequence[int] = ()


async def fetch_block(session: AsyncSession, block_id: str) -> Block | None:
    """The block with this id."""
    return await session.get(Block, block_id)


async def lock_block(session: AsyncSession, block_id: str) -> Block | None:
    """The block with this id, locked until the transaction ends."""
    return await session.get(Block, block_id, with_for_update=True, populate_existing=True)


async def fetch_block_by_label(session: AsyncSession, agent_id: str, label: str) -> Block | None:
    """The block that the agent holds under this label."""
    wanted = select(Block).join(AgentBlock, AgentBlock.block_id == Block.id)
    found = wanted.where(AgentBlock.agent_id == agent_id, AgentBlock.label == label)
    return (await session.scalars(found)).one_or_none()


async def fetch_holders(session: AsyncSession, block_id: str) -> list[str]:
    """Ids of the agents that hold the block, in order."""
    wanted = select(AgentBlock.agent_id).where(AgentBlock.block_id == block_id)
    return list(await session.scalars(wanted.order_by(AgentBlock.agent_id)))


async def fetch_holding(session: AsyncSession, block_id: str) -> list[AgentBlock]:
    """Every attachment of the block."""
    return list(await session.scalars(select(AgentBlock).where(AgentBlock.block_id == block_id)))


async def list_blocks(session: AsyncSession, wanted: BlockFilter, page: Page) -> list[Block]:
    """A page of the blocks that pass the filter."""
    keys = (Block.created_at, Block.id)
    whole = partial(fetch_page, session, _filtered(wanted), Block.id, keys)
    if not wanted.value_search:
        return await whole(page)
    has = contains(wanted.value_search)
    return await scan(whole, page, lambda block: has(block.value))


async def list_blocks_of(session: AsyncSession, agent_id: str, page: Page) -> list[Block]:
    """A page of one agent's blocks."""
    held = select(AgentBlock.block_id).where(AgentBlock.agent_id == agent_id)
    statement = select(Block).where(Block.id.in_(held))
    return await fetch_page(session, statement, Block.id, (Block.created_at, Block.id), page)


async def delete_block(session: AsyncSession, block_id: str) -> None:
    """Delete the block, and with it its attachments."""
    await session.execute(delete(Block).where(Block.id == block_id))


def _filtered(wanted: BlockFilter) -> Select[Block]:
    statement = select(Block)
    if wanted.label is not None:
        statement = statement.where(Block.label == wanted.label)
    for column, part in (
        (Block.label, wanted.label_search),
        (Block.description, wanted.description_search),
    ):
        if part:
            statement = statement.where(column.icontains(part, autoescape=True))
    if wanted.tags:
        holds = Block.tags.bool_op("@>" if wanted.match_all_tags else "&&")
        statement = statement.where(holds(cast(list(wanted.tags), ARRAY(Text))))
    return _by_holders(statement, wanted)


def _by_holders(statement: Select[Block], wanted: BlockFilter) -> Select[Block]:
    if wanted.holders_more_than is not None:
        statement = statement.where(_holder_count() > wanted.holders_more_than)
    if wanted.holders_less_than is not None:
        statement = statement.where(_holder_count() < wanted.holders_less_than)
    if wanted.holders_exactly:
        statement = statement.where(_holder_count().in_(list(wanted.holders_exactly)))
    return statement


def _holder_count() -> ScalarSelect[int]:
    held = select(func.count()).select_from(AgentBlock).where(AgentBlock.block_id == Block.id)
    return held.correlate(Block).scalar_subquery()
