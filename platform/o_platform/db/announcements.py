"""Hearing what PostgreSQL announces (`engine.announce`), on a connection that does nothing else.

psycopg's own `notifies()` looks ten times a second whether its wait was interrupted. Here the event
loop tells when there is something to read, and a wait looks for itself every `LOOK_S` only because
a server that is killed has left one without its wake-up (see `line`). A process with several who
want to hear has one connection for all of them (see `hearing`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import psycopg
from psycopg import AsyncConnection, sql

LOOK_S: Final = 1.0


class Announcement(NamedTuple):
    """One announcement; `payload` is what `engine` says of its channel."""

    channel: str
    payload: str


class Announcements:
    """What is heard on a connection, in order; made by `listening`."""

    def __init__(self, connection: AsyncConnection, heard: list[Announcement]) -> None:
        """`connection` listens, and is used for nothing else; `heard` was heard already."""
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._error: psycopg.Error | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._file = self._pgconn.socket
        self._loop.add_reader(self._file, self._read)
        self._is_watched = True
        # What came with the last answer to `LISTEN` is in libpq's buffer already.
        self._read()

    async def wait(self, timeout_s: float | None = None) -> list[Announcement]:
        """What was announced since the last call, once there is any; empty when time is over.

        Raises:
            psycopg.OperationalError: the connection broke.
        """
        end = None if timeout_s is None else self._loop.time() + timeout_s
        while not self._heard and self._error is None:
            left_s = LOOK_S if end is None else min(end - self._loop.time(), LOOK_S)
            if left_s <= 0:
                break
            await self._wait(left_s)
        if self._heard:
            heard, self._heard = self._heard, []
            return heard
        if self._error is not None:
            raise self._error
        return []

    def close(self) -> None:
        """Hear nothing more; the connection is still to be closed."""
        # Once: libpq closes a broken connection, whose number is soon somebody else's.
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._file)

    async def _wait(self, longest_s: float) -> None:
        self._waiting = self._loop.create_future()
        timer = self._loop.call_later(longest_s, self._look)
        try:
            await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    def _look(self) -> None:
        self._read()
        self._wake()

    def _read(self) -> None:
        try:
            self._pgconn.consume_input()
            while (one := self._pgconn.notifies()) is not None:
                channel, payload = one.relname.decode(), one.extra.decode()
                self._heard.append(Announcement(channel, payload))
        except psycopg.Error as error:
            self._error = error
            self.close()
        if self._heard or self._error is not None:
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


@asynccontextmanager
async def listening(url: str, *channels: str) -> AsyncIterator[Announcements]:
    """Listen to these channels of the database at `url` while the context is open.

    Raises:
        psycopg.OperationalError: PostgreSQL is away.
    """
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    async with await AsyncConnection.connect(plain, autocommit=True) as connection:
        heard: list[Announcement] = []
        connection.add_notify_handler(lambda n: heard.append(Announcement(n.channel, n.payload)))
        for channel in channels:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        announcements = Announcements(connection, heard)
        try:
            yield announcements
        finally:
            announcements.close()
