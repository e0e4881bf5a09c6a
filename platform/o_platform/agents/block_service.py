"""What can be done with blocks, as whole transactions.

A block may be held by several agents: an edit raises the version of each of them. Every edit is
kept in the block's history (`block_history`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents import attachments, block_history, block_repository, repository
from o_platform.agents.block_repository import BlockFilter
from o_platform.agents.cache import ContextCache
from o_platform.agents.inputs import Author, BlockChanges, NewBlock
from o_platform.agents.paging import Page
from o_platform.agents.service import existing_agent
from o_platform.agents.unit import HoldersChangedError, in_unit
from o_platform.db.engine import Database
from o_platform.db.models import Block, BlockVersion
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
            return block

    async def fetch(self, block_id: str) -> Block:
        """The block with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.reading() as session:
            return _existing(await block_repository.fetch_block(session, block_id), block_id)

    async def list(self, wanted: BlockFilter, page: Page) -> Sequence[Block]:
        """A page of blocks."""
        async with self._database.reading() as session:
            return await block_repository.list_blocks(session, wanted, page)

    async def list_of(self, agent_id: str, page: Page) -> Sequence[Block]:
        """A page of one agent's blocks.

        Raises:
            NotFoundError: there is no such agent.
        """
        async with self._database.reading() as session:
            await existing_agent(session, agent_id)
            return await block_repository.list_blocks_of(session, agent_id, page)

    async def fetch_of(self, agent_id: str, label: str) -> Block:
        """The block that the agent holds under this label.

        Raises:
            NotFoundError: no such agent, or no such block of it.
        """
        async with self._database.reading() as session:
            return await _held(session, agent_id, label)

    async def update(self, block_id: str, changes: BlockChanges, author: Author) -> Block:
        """Change a block, for all agents that hold it.

        Raises:
            NotFoundError: there is none.
            ConflictError: an agent already holds another block under the new label.
        """

        async def change(session: AsyncSession) -> tuple[Block, list[str]]:
            return await _edit(session, block_id, changes, author)

        return await self._changed(change)

    async def update_of(
        self, agent_id: str, label: str, changes: BlockChanges, author: Author
    ) -> Block:
        """Change the block that the agent holds under this label.

        Raises:
            NotFoundError: no such agent, or no such block of it.
            ConflictError: an agent already holds another block under the new label.
        """

        async def change(session: AsyncSession) -> tuple[Block, list[str]]:
            held = await _held(session, agent_id, label)
            return await _edit(session, held.id, changes, author)

        return await self._changed(change)

    async def history(
        self, block_id: str, *, before: int | None = None, limit: int = 50
    ) -> Sequence[BlockVersion]:
        """Versions of a block, the newest first; only those below `before`.

        Raises:
            NotFoundError: there is no such block.
        """
        async with self._database.unit_of_work() as session:
            _existing(await block_repository.fetch_block(session, block_id), block_id)
            return await block_history.list_versions(session, block_id, before=before, limit=limit)

    async def undo(self, block_id: str, author: Author, version: int | None = None) -> Block:
        """Give a block the text it had in `version`, or before its last change of text.

        Raises:
            NotFoundError: there is no such block or version.
            ConflictError: there is no earlier text.
        """

        async def change(session: AsyncSession) -> tuple[Block, list[str]]:
            block, _ = await _locked(session, block_id)
            if version is None:
                target = await block_history.version_before(session, block)
            else:
                target = await block_history.named_version(session, block_id, version)
            why = author.why or f"undo: back to version {target.version}"
            changes: BlockChanges = {"value": target.value}
            return await _edit(session, block_id, changes, Author(author.who, why), target.version)

        return await self._changed(change)

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

    async def _changed(self, change: Callable[[AsyncSession], Awaitable[_Edited]]) -> Block:
        block, holders = await in_unit(self._database, change)
        await self._cache.drop(holders)
        return block


_Edited = tuple[Block, list[str]]
"""A block, and the agents that hold it."""


async def _edit(
    session: AsyncSession,
    block_id: str,
    changes: BlockChanges,
    author: Author,
    restores: int | None = None,
) -> tuple[Block, list[str]]:
    block, holders = await _locked(session, block_id)
    before = await block_history.begin(session, block)
    if "label" in changes and changes["label"] != block.label:
        await _relabel(session, block, changes["label"])
    for name, value in changes.items():
        setattr(block, name, value)
    block.version += 1
    block.updated_at = func.now()
    await session.flush()
    await session.refresh(block)
    await block_history.record(session, before, block, _explained(author, changes), restores)
    await repository.bump_agents(session, holders)
    return block, holders


def _explained(author: Author, changes: BlockChanges) -> Author:
    if author.why:
        return author
    return Author(author.who, f"changed over the API: {', '.join(sorted(changes)) or 'nothing'}")


async def _relabel(session: AsyncSession, block: Block, label: str) -> None:
    for held in await block_repository.fetch_holding(session, block.id):
        if await block_repository.fetch_block_by_label(session, held.agent_id, label):
            raise attachments.label_conflict(held.agent_id, label)
        held.label = label


async def _locked(session: AsyncSession, block_id: str) -> tuple[Block, list[str]]:
    # Agents before the block, as everyone locks; none can get it any more then.
    before = await block_repository.fetch_holders(session, block_id)
    await repository.lock_agents(session, before)
    block = _existing(await block_repository.lock_block(session, block_id), block_id)
    holders = await block_repository.fetch_holders(session, block_id)
    if not set(holders) <= set(before):
        raise HoldersChangedError
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
