"""Connections to PostgreSQL, and patience while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import psycopg
from psycopg import AsyncConnection

from o_platform.errors import DatabaseUnavailableError

AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError)
"""What psycopg raises when PostgreSQL is gone, starting, or chose us to resolve a deadlock; but
also when a value is over a limit, which no patience helps: see `is_away`."""
_REFUSED: Final = frozenset({"22", "23", "54"})
"""Classes of SQLSTATE: a bad value, a broken constraint, over a limit of PostgreSQL."""
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.5
READERS: Final = 4
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Pauses:
    """Growing pauses between tries."""

    def __init__(self) -> None:
        """The first pause is the shortest."""
        self._next_s = FIRST_PAUSE_S

    async def wait(self) -> None:
        """Wait, and make the next pause longer."""
        await asyncio.sleep(self._next_s)
        self._next_s = min(self._next_s * 2, LONGEST_PAUSE_S)


class Postgres:
    """A few connections for reading, and single ones for whoever keeps one."""

    def __init__(self, url: str) -> None:
        """`url` is a plain `postgresql://` URL; nothing connects yet."""
        self._url = url
        self._idle: list[AsyncConnection] = []
        self._places = asyncio.Semaphore(READERS)

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            await self._idle.pop().close()

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]], *, wait_s: float) -> T:
        """The result of `work`, which is repeated while PostgreSQL is away (so: idempotent).

        Raises:
            DatabaseUnavailableError: it was away for `wait_s` seconds.
        """
        pauses = Pauses()
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            try:
                async with self._places:
                    return await self._run_once(work)
            except AWAY as error:
                if not is_away(error):
                    raise
                await self.close()
                if asyncio.get_running_loop().time() >= deadline:
                    raise unavailable(error) from error
                _log.warning("PostgreSQL does not answer: %s", error)
            await pauses.wait()

    async def connect(self, options: str = "") -> AsyncConnection:
        """A connection of one's own, in autocommit mode.

        Args:
            options: settings for its session, as `-c name=value …`.

        Raises:
            psycopg.OperationalError: PostgreSQL is away.
        """
        return await AsyncConnection.connect(self._url, autocommit=True, options=options)

    async def _run_once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        connection = self._idle.pop() if self._idle else await self.connect()
        try:
            result = await work(connection)
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)
        return result


def is_away(error: Exception) -> bool:
    """Whether it may work later: PostgreSQL did not answer, or not about what it was asked."""
    if not isinstance(error, (*AWAY, DatabaseUnavailableError)):
        return False
    cause = driver_error(error)
    return cause is None or (cause.sqlstate or "")[:2] not in _REFUSED


def driver_error(error: BaseException) -> psycopg.Error | None:
    """The error of psycopg that this one is, or was made of."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, psycopg.Error):
        cause = cause.__cause__
    return cause


def unavailable(error: BaseException) -> DatabaseUnavailableError:
    """What a caller is told when PostgreSQL stays away."""
    return DatabaseUnavailableError(
        f"PostgreSQL does not answer: {error}; see `o status` and `o logs postgres`"
    )
