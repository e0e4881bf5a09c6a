"""Group commit of requests whose write is one statement.

PostgreSQL lets one transaction at a time commit that announces something, each with its own write
to the disk; and every transaction costs a commit. So statements that come while others are being
written are collected, and then written together, in one transaction and one round trip. One that
fails does not fail its neighbours: they are all tried again, each alone. Without an answer from
PostgreSQL all of them fail.

Whoever is first writes for those behind; all of them wait at the same door, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from o_platform.agents.cache import ContextCache
from o_platform.db.engine import Database, Value, Wanted
from o_platform.db.line import Statement
from o_platform.errors import DatabaseUnavailableError

AT_ONCE: Final = 2
"""Transactions: while PostgreSQL works on one, the next is put together."""
LARGEST_GROUP: Final = 32
_AS_PLANNED: Final = Statement(
    "SELECT NULL FROM set_config('plan_cache_mode', 'force_generic_plan', true)"
)
"""PostgreSQL would plan an edit anew each time, which takes it longer than all the rest: without
values it expects more rows of a history, and of an array, than there are."""
_LOCK_AGENTS: Final = Statement(
    "SELECT NULL FROM agents WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE"
)
_LOCK_BLOCKS: Final = Statement(
    "SELECT NULL FROM blocks WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE"
)


class _Write:
    """A statement that is to be run."""

    __slots__ = ("agents", "block", "is_taken", "result", "wanted")

    def __init__(self, wanted: Wanted, agents: Sequence[str] = (), block: str = "") -> None:
        self.wanted = wanted
        self.agents = agents
        """Whose contexts it changes."""
        self.block = block
        """The block that it changes, if it does."""
        self.is_taken = False
        self.result: asyncio.Future[Sequence[Any]] = asyncio.get_running_loop().create_future()


class GroupWrites:
    """Writes of agents and blocks."""

    def __init__(self, database: Database, cache: ContextCache) -> None:
        """`cache` is told of the agents that were changed before their callers hear of it."""
        self._database = database
        self._cache = cache
        self._door = asyncio.Semaphore(AT_ONCE)
        self._waiting: list[_Write] = []

    async def insert(self, statement: Statement, *values: Value) -> Sequence[Any]:
        """What a statement answers with that changes nothing that is there.

        Raises:
            DatabaseUnavailableError: PostgreSQL cannot be reached.
            psycopg.Error: the statement failed.
        """
        return await self._written(_Write((statement, values)))

    async def update(self, agent_id: str, statement: Statement, *values: Value) -> Sequence[Any]:
        """The same of a statement that changes an agent, and locks nothing but its row."""
        return await self._written(_Write((statement, values), [agent_id]))

    async def edit(self, block_id: str, holders: Sequence[str], edit: Wanted) -> Sequence[Any]:
        """The same of a statement that changes a block, which is locked then, and its holders."""
        return await self._written(_Write(edit, holders, block_id))

    async def _written(self, write: _Write) -> Sequence[Any]:
        self._waiting.append(write)
        async with self._door:
            if not write.is_taken:
                group = self._waiting[:LARGEST_GROUP]
                del self._waiting[:LARGEST_GROUP]
                await self._write(group)
        return await write.result

    async def _write(self, group: Sequence[_Write]) -> None:
        for one in group:
            one.is_taken = True
        try:
            await self._try(group)
        finally:
            for one in group:
                if not one.result.done():
                    one.result.set_exception(DatabaseUnavailableError("the write was given up"))

    async def _try(self, group: Sequence[_Write]) -> None:
        # In the order in which everyone locks agents.
        ordered = sorted(group, key=lambda one: [*one.agents])
        first = [(_AS_PLANNED, ()), *_locks(group)]
        try:
            answers = await self._database.ask_all(*first, *(one.wanted for one in ordered))
        except DatabaseUnavailableError as error:
            # Not once more: what was lost may be the word that it is done.
            for one in group:
                _settle(one, error)
            return
        except psycopg.Error as error:
            if len(group) == 1:
                _settle(group[0], error)
            else:
                for one in group:
                    await self._try([one])
            return
        written = [*zip(ordered, answers[len(first) :], strict=True)]
        await self._cache.drop([*{agent for one, rows in written if rows for agent in one.agents}])
        for one, rows in written:
            _settle(one, rows)


def _locks(group: Sequence[_Write]) -> list[Wanted]:
    """What blocks are locked by: all agents first, then all blocks, as everyone locks."""
    blocks = [one.block for one in group if one.block]
    agents = [agent for one in group for agent in one.agents]
    locks = ((_LOCK_AGENTS, agents), (_LOCK_BLOCKS, blocks))
    return [(lock, (ids,)) for lock, ids in locks if ids] if blocks else []


def _settle(write: _Write, outcome: Sequence[Any] | Exception) -> None:
    if write.result.done():
        return
    if isinstance(outcome, Exception):
        write.result.set_exception(outcome)
    else:
        write.result.set_result(outcome)
