"""What can be done with blocks, as whole transactions.

A block may be held by several agents: an edit raises the version of each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents import attachments, block_repository, repository
from o_platform.agents.block_repository import BlockFilter
from o_platform.agents.cache import ContextCache
from o_platform.agents.inputs import BlockChanges, NewBlock
from o_platform.agents.paging import Page
from o_platform.agents.service import existing_agent
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import Block
from o_platform.errors import NotFoundError


class BlockService:
    """Creates, reads, changes and deletes blocks."""

    def __init__(self, database: Database, cache: ContextCache) -> None:
        """`cache` is told of every agent whose context an edit changes."""
        self._database = database
        self._cache = cache

    async def create(self, wanted: NewBlock) -> Block:
        """Create a block that no agent holds yet."""
        async with self._database.unit_of_work() as session:
            block = attachments.new_row(wanted)
            session.add(block)
            await session.flush()
            await session.refresh(block)
            return block

    async def fetch(self, block_id: str) -> Block:
        """The block with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            return _existing(await block_repository.fetch_block(session, block_id), block_id)

    async def list(self, wanted: BlockFilter, page: Page) -> Sequence[Block]:
        """A page of blocks."""
        async with self._database.unit_of_work() as session:
            return await block_repository.list_blocks(session, wanted, page)

    async def list_of(self, agent_id: str, page: Page) -> Sequence[Block]:
        """A page of one agent's blocks.

        Raises:
            NotFoundError: there is no such agent.
        """
        async with self._database.unit_of_work() as session:
            await existing_agent(session, agent_id)
            return await block_repository.list_blocks_of(session, agent_id, page)

    async def fetch_of(self, agent_id: str, label: str) -> Block:
        """The block that the agent holds under this label.

        Raises:
            NotFoundError: no such agent, or no such block of it.
        """
        async with self._database.unit_of_work() as session:
            return await _held(session, agent_id, label)

    async def update(self, block_id: str, changes: BlockChanges) -> Block:
        """Change a block, for all agents that hold it.

        Raises:
            NotFoundError: there is none.
            ConflictError: an agent already holds another block under the new label.
        """

        async def change(session: AsyncSession) -> tuple[Block, list[str]]:
            return await _edit(session, block_id, changes)

        block, holders = await in_unit(self._database, change)
        await self._cache.drop(holders)
        return block

    async def update_of(self, agent_id: str, label: str, changes: BlockChanges) -> Block:
        """Change the block that the agent holds under this label.

        Raises:
            NotFoundError: no such agent, or no such block of it.
            ConflictError: an agent already holds another block under the new label.
        """

        async def change(session: AsyncSession) -> tuple[Block, list[str]]:
            held = await _held(session, agent_id, label)
            return await _edit(session, held.id, changes)

        block, holders = await in_unit(self._database, change)
        await self._cache.drop(holders)
        return block

    async def delete(self, block_id: str) -> None:
        """Delete a block; agents that hold it lose it.

        Raises:
            NotFoundError: there is none.
        """

        async def change(session: AsyncSession) -> list[str]:
            _, holders = await _locked(session, block_id)
            await block_repository.delete_block(session, block_id)
            await repository.bump_agents(session, holders)
            return holders

        await self._cache.drop(await in_unit(self._database, change))


async def _edit(
    session: AsyncSession, block_id: str, changes: BlockChanges
) -> tuple[Block, list[str]]:
    block, holders = await _locked(session, block_id)
    if "label" in changes and changes["label"] != block.label:
        await _relabel(session, block, changes["label"])
    for name, value in changes.items():
        setattr(block, name, value)
    block.version += 1
    block.updated_at = func.now()
    await session.flush()
    await session.refresh(block)
    await repository.bump_agents(session, holders)
    return block, holders


async def _relabel(session: AsyncSession, block: Block, label: str) -> None:
    for held in await block_repository.fetch_holding(session, block.id):
        if await block_repository.fetch_block_by_label(session, held.agent_id, label):
            raise attachments.label_conflict(held.agent_id, label)
        held.label = label


async def _locked(session: AsyncSession, block_id: str) -> tuple[Block, list[str]]:
    # Agents before the block, as everyone locks; then those that got it meanwhile.
    before = await block_repository.fetch_holders(session, block_id)
    await repository.lock_agents(session, before)
    block = _existing(await block_repository.lock_block(session, block_id), block_id)
    holders = await block_repository.fetch_holders(session, block_id)
    if holders != before:
        await repository.lock_agents(session, holders)
    return block, holders


async def _held(session: AsyncSession, agent_id: str, label: str) -> Block:
    await existing_agent(session, agent_id)
    block = await block_repository.fetch_block_by_label(session, agent_id, label)
    if block is None:
        raise NotFoundError(
            f"{agent_id} holds no block labelled {label!r}", agent_id=agent_id, label=label
        )
    return block


def _existing(block: Block | None, block_id: str) -> Block:
    if block is None:
        raise NotFoundError(f"no block has the id {block_id!r}", block_id=block_id)
    return block
