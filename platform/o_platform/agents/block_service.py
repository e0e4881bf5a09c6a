"""What can be done with blocks, as whole transactions.

A block may be held by several agents: an edit raises the version of each of them. Every edit is
kept in the block's history (`block_history`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from o_platform.agents import attachments, block_history, block_repository
from o_platform.agents.block_repository import BlockFilter, WholeBlock
from o_platform.agents.cache import ContextCache
from o_platform.agents.group_writes import GroupWrites
from o_platform.agents.inputs import Author, BlockChanges, NewBlock
from o_platform.agents.new_agents import block_row
from o_platform.agents.paging import Page
from o_platform.agents.service import require_agent
from o_platform.agents.unit import in_exchange
from o_platform.db.engine import Database, Exchange, Wanted
from o_platform.db.models import Block, BlockVersion
from o_platform.db.sealed_columns import BLOCK_VALUE
from o_platform.errors import ConflictError, NotFoundError


class BlockService:
    """Creates, reads, changes and deletes blocks."""

    def __init__(self, database: Database, cache: ContextCache) -> None:
        """`cache` is told of every agent whose context an edit changes."""
        self._database = database
        self._cache = cache
        self._writes = GroupWrites(database, cache)

    async def create(self, wanted: NewBlock) -> Block:
        """Create a block that no agent holds yet."""
        vault = self._database.vault
        return await block_repository.insert_block(self._writes, vault, block_row(wanted))

    async def fetch(self, block_id: str) -> Block:
        """The block with this id.

        Raises:
            NotFoundError: there is none.
        """
        ask, vault = self._database.ask, self._database.vault
        block = await block_repository.fetch_block(ask, vault, block_id)
        if block is None:
            raise _no_block(block_id)
        return block

    async def list(self, wanted: BlockFilter, page: Page) -> Sequence[Block]:
        """A page of blocks."""
        database = self._database
        return await block_repository.list_blocks(database.ask, database.vault, wanted, page)

    async def list_of(self, agent_id: str, page: Page) -> Sequence[Block]:
        """A page of one agent's blocks.

        Raises:
            NotFoundError: there is no such agent.
        """
        database = self._database
        await require_agent(database.ask, agent_id)
        return await block_repository.list_blocks_of(database.ask, database.vault, agent_id, page)

    async def fetch_of(self, agent_id: str, label: str) -> Block:
        """The block that the agent holds under this label.

        Raises:
            NotFoundError: no such agent, or no such block of it.
        """
        ask, vault = self._database.ask, self._database.vault
        block = await block_repository.fetch_block_by_label(ask, vault, agent_id, label)
        if block is not None:
            return block
        await require_agent(ask, agent_id)
        raise NotFoundError(
            f"{agent_id} holds no block labelled {label!r}", agent_id=agent_id, label=label
        )

    async def update(
        self, block_id: str, changes: BlockChanges, author: Author, *, on: int | None = None
    ) -> Block:
        """Change a block, for all agents that hold it; with `on`, only if that is its version.

        Raises:
            NotFoundError: there is none.
            ConflictError: an agent already holds another block under the new label, or the block
                has another version.
        """
        ask, vault = self._database.ask, self._database.vault
        whole = await block_repository.fetch_whole(ask, vault, block_id)
        if whole is None:
            raise _no_block(block_id)
        _require_version(whole, on)
        if changes.get("label", whole.block.label) == whole.block.label:
            edit = self._editing(whole, changes, author)
            rows = await self._writes.edit(block_id, whole.holders, edit)
            if rows:
                return block_repository.detached(vault, rows[0])

        # It is renamed, or somebody was faster: once more, from behind the locks.
        async def change(exchange: Exchange) -> _Edited:
            locked = await self._lock(exchange, block_id)
            _require_version(locked, on)
            return await self._edit(exchange, locked, changes, author)

        return await self._changed(change)

    async def update_of(
        self, agent_id: str, label: str, changes: BlockChanges, author: Author
    ) -> Block:
        """Change the block that the agent holds under this label.

        Raises:
            NotFoundError: no such agent, or no such block of it.
            ConflictError: an agent already holds another block under the new label.
        """
        held = await self.fetch_of(agent_id, label)
        return await self.update(held.id, changes, author)

    async def history(
        self, block_id: str, *, before: int | None = None, limit: int = 50
    ) -> Sequence[BlockVersion]:
        """Versions of a block, the newest first; only those below `before`.

        Raises:
            NotFoundError: there is no such block.
        """
        await self.fetch(block_id)
        ask, vault = self._database.ask, self._database.vault
        return await block_history.list_versions(ask, vault, block_id, before=before, limit=limit)

    async def undo(self, block_id: str, author: Author, version: int | None = None) -> Block:
        """Give a block the text it had in `version`, or before its last change of text.

        Raises:
            NotFoundError: there is no such block or version.
            ConflictError: there is no earlier text.
        """
        vault = self._database.vault

        async def change(exchange: Exchange) -> _Edited:
            locked = await self._lock(exchange, block_id)
            if version is None:
                target = await block_history.version_before(
                    exchange, vault, locked.block, locked.present
                )
            else:
                target = await block_history.named_version(exchange, vault, block_id, version)
            why = author.why or f"undo: back to version {target.version}"
            changes: BlockChanges = {"value": target.value}
            return await self._edit(
                exchange, locked, changes, Author(author.who, why), target.version
            )

        return await self._changed(change)

    async def delete(self, block_id: str) -> None:
        """Delete a block; agents that hold it lose it.

        Raises:
            NotFoundError: there is none.
        """

        async def change(exchange: Exchange) -> list[str]:
            locked = await self._lock(exchange, block_id)
            await exchange.finish(block_repository.deletion(block_id, locked.holders))
            return locked.holders

        await self._cache.drop(await in_exchange(self._database, change))

    async def _changed(self, change: Callable[[Exchange], Awaitable[_Edited]]) -> Block:
        block, holders = await in_exchange(self._database, change)
        await self._cache.drop(holders)
        return block

    async def _lock(self, exchange: Exchange, block_id: str) -> WholeBlock:
        vault = self._database.vault
        locked = await block_repository.lock_with_holders(exchange, vault, block_id)
        if locked is None:
            raise _no_block(block_id)
        return locked

    async def _edit(
        self,
        exchange: Exchange,
        locked: WholeBlock,
        changes: BlockChanges,
        author: Author,
        restores: int | None = None,
    ) -> _Edited:
        block = locked.block
        first: list[Wanted] = []
        if "label" in changes and changes["label"] != block.label:
            await _require_free(exchange, block.id, changes["label"])
            first.append(block_repository.relabelling(block.id, changes["label"]))
        edit = self._editing(locked, changes, author, restores)
        *_, (row,) = await exchange.finish(*first, edit)
        return block_repository.detached(self._database.vault, row), locked.holders

    def _editing(
        self,
        former: WholeBlock,
        changes: BlockChanges,
        author: Author,
        restores: int | None = None,
    ) -> Wanted:
        block, vault = former.block, self._database.vault
        value = changes.get("value", block.value)
        versions = block_history.edited(
            vault, block, former.present, value, _explained(author, changes), restores
        )
        columns: dict[str, Any] = {_COLUMNS.get(name, name): one for name, one in changes.items()}
        if "value" in columns:
            columns["value"] = BLOCK_VALUE.sealed(vault, value, block.id)
        return block_repository.edit(former, versions, columns)


_Edited = tuple[Block, list[str]]
"""A block, and the agents that hold it."""
_COLUMNS: Final = {"meta": "metadata"}


def _explained(author: Author, changes: BlockChanges) -> Author:
    if author.why:
        return author
    return Author(author.who, f"changed over the API: {', '.join(sorted(changes)) or 'nothing'}")


def _require_version(whole: WholeBlock, version: int | None) -> None:
    if version is not None and whole.block.version != version:
        raise ConflictError(
            f"the block {whole.block.label!r} has changed since it was read (version {version}, "
            f"now {whole.block.version}); read it again",
            block_id=whole.block.id,
        )


async def _require_free(exchange: Exchange, block_id: str, label: str) -> None:
    agent_id = await block_repository.holder_of_other(exchange, block_id, label)
    if agent_id is not None:
        raise attachments.label_conflict(agent_id, label)


def _no_block(block_id: str) -> NotFoundError:
    return NotFoundError(f"no block has the id {block_id!r}", block_id=block_id)
