"""Running a change again that could not have its locks.

Writers lock agents in the order of their ids, then blocks. Who holds a block is certain only once
it is locked; if somebody got it meanwhile, the change gives its locks back and is run again, as to
lock one agent more now might close a circle of waiting. Should PostgreSQL find such a circle all
the same, it ends one of the changes, which had no effect and is run again, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

from psycopg.errors import DeadlockDetected, SerializationFailure
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.engine import Database, Exchange
from o_platform.errors import DatabaseUnavailableError

MAX_TRIES: Final = 4
"""Of a change that PostgreSQL ends."""
S = TypeVar("S")
T = TypeVar("T")


class HoldersChangedError(Exception):
    """An agent got the block before it was locked."""


async def in_unit(database: Database, change: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """The result of `change`, run in one transaction, again if it could not have its locks.

    Raises:
        DatabaseUnavailableError: PostgreSQL cannot be reached, or `MAX_TRIES` were not enough.
    """
    return await _in(database.unit_of_work, change)


async def in_exchange(database: Database, change: Callable[[Exchange], Awaitable[T]]) -> T:
    """The same for a change that finishes an exchange.

    Raises:
        DatabaseUnavailableError: PostgreSQL cannot be reached, or `MAX_TRIES` were not enough.
    """
    return await _in(database.exchange, change)


async def _in(
    transaction: Callable[[], AbstractAsyncContextManager[S]], change: Callable[[S], Awaitable[T]]
) -> T:
    tries = 0
    while True:
        try:
            async with transaction() as opened:
                return await change(opened)
        except HoldersChangedError:
            continue
        except DatabaseUnavailableError as error:
            tries += 1
            if tries == MAX_TRIES or not _was_victim(error):
                raise


def _was_victim(error: DatabaseUnavailableError) -> bool:
    cause: object = error.__cause__
    if isinstance(cause, DBAPIError):
        cause = cause.orig
    return isinstance(cause, DeadlockDetected | SerializationFailure)
