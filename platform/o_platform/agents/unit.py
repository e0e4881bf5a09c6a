"""Running a change again when PostgreSQL ended it to resolve a deadlock.

Writers lock in one order, but who holds a block is known only once it is locked, so a circle is
possible; PostgreSQL then ends one of them, which had no effect and is simply run again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from psycopg.errors import DeadlockDetected, SerializationFailure
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.engine import Database
from o_platform.errors import DatabaseUnavailableError

MAX_TRIES: Final = 4
T = TypeVar("T")


async def in_unit(database: Database, change: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """The result of `change`, run in one transaction, again if it was the victim of a deadlock.

    Raises:
        DatabaseUnavailableError: PostgreSQL cannot be reached, or `MAX_TRIES` were not enough.
    """
    for _ in range(MAX_TRIES - 1):
        try:
            async with database.unit_of_work() as session:
                return await change(session)
        except DatabaseUnavailableError as error:
            if not _was_victim(error):
                raise
    async with database.unit_of_work() as session:
        return await change(session)


def _was_victim(error: DatabaseUnavailableError) -> bool:
    cause = error.__cause__
    return isinstance(cause, DBAPIError) and isinstance(
        cause.orig, DeadlockDetected | SerializationFailure
    )
