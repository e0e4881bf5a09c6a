"""Waiting for what PostgreSQL announces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from psycopg import sql

from o_platform.db.engine import Database


class Announcements:
    """A connection that listens."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        """`connection` listens already."""
        self._connection = connection

    async def wait(self, timeout_s: float) -> None:
        """Return at the next announcement, or when the time is over.

        Raises:
            psycopg.OperationalError: the connection broke.
        """
        async for _ in self._connection.notifies(timeout=timeout_s, stop_after=1):
            return


@asynccontextmanager
async def listening(database: Database, channels: Sequence[str]) -> AsyncIterator[Announcements]:
    """Listen to these channels while the context is open."""
    url = database.url.replace("postgresql+psycopg://", "postgresql://", 1)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for channel in channels:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        yield Announcements(connection)
