"""A prepared statement, executed over and over with as little work per execution as there is.

psycopg's cursors cost some 150 microseconds per execution on the event loop (a new wait with its
timers each time). This talks to libpq through psycopg's own wrapper: send, wait until the socket is
readable, read.

Killing PostgreSQL in the middle of a batch left a wait without its wake-up, some one time in four
on a busy machine under uvloop. So a wait looks for itself every `LOOK_S`; libpq then says that the
connection is gone.
"""

from __future__ import annotations

import asyncio
from typing import Final

from psycopg import AsyncConnection, InterfaceError
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

LOOK_S: Final = 0.5
_NAME: Final = b"o_statement"
_GOOD: Final = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


class PreparedStatement:
    """One statement on a connection of its own; one execution at a time."""

    def __init__(self, connection: AsyncConnection, query: str) -> None:
        """`query` has its parameters as `$1`, `$2`, …; it is prepared at the first execution."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._query = query.encode()
        self._is_prepared = False

    async def execute(self, *values: bytes) -> list[tuple[bytes, ...]]:
        """The rows of the result, in text format; NULL is an empty value.

        Raises:
            psycopg.Error: the statement failed; or the connection broke, and whether the statement
                had its effect is unknown.
        """
        if not self._is_prepared:
            self._pgconn.send_prepare(_NAME, self._query)
            await self._result()
            self._is_prepared = True
        self._pgconn.send_query_prepared(_NAME, values)
        return _rows(await self._result())

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _result(self) -> PGresult:
        while self._pgconn.flush():
            await self._writable()
        readable = _Readable(self._pgconn.socket)
        try:
            result = await self._next_result(readable)
            while (following := await self._next_result(readable)) is not None:
                result = following
        finally:
            readable.close()
        if result is None:
            raise InterfaceError("PostgreSQL gave no result")
        if result.status not in _GOOD:
            raise error_from_result(result)
        return result

    async def _next_result(self, readable: _Readable) -> PGresult | None:
        while self._pgconn.is_busy():
            await readable.wait()
            self._pgconn.consume_input()
        return self._pgconn.get_result()

    async def _writable(self) -> None:
        """Wait until the socket takes more of a large batch."""
        loop = asyncio.get_running_loop()
        writable = loop.create_future()
        loop.add_writer(self._pgconn.socket, _set, writable)
        try:
            await asyncio.wait([writable], timeout=LOOK_S)
        finally:
            loop.remove_writer(self._pgconn.socket)


class _Readable:
    """Tells when there may be something to read, until it is closed."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._loop.add_reader(file, self._on_ready)
        self._timer = self._loop.call_later(LOOK_S, self._look)

    async def wait(self) -> None:
        await self._ready
        self._ready = self._loop.create_future()

    def close(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._file)

    def _on_ready(self) -> None:
        _set(self._ready)

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_S, self._look)
        _set(self._ready)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _rows(result: PGresult) -> list[tuple[bytes, ...]]:
    columns = range(result.nfields)
    return [
        tuple(result.get_value(row, column) or b"" for column in columns)
        for row in range(result.ntuples)
    ]
