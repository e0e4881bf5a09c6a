"""A connection to PostgreSQL that runs prepared statements, each with as little work as there is.

psycopg's cursors cost some 150 microseconds per execution on the event loop (a new wait with its
timers each time). This talks to libpq through psycopg's own wrapper, in its pipeline mode: all
statements of a call travel together, a statement is prepared on the way when it is first used, and
the call is one round trip. Parameters and results are in text format. Without a `BEGIN` among them
the statements of a call are one transaction.

Killing PostgreSQL in the middle of a batch left a wait without its wake-up, some one time in four
on a busy machine under uvloop. So a wait looks for itself every `LOOK_S`; libpq then says that the
connection is gone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from psycopg import AsyncConnection, OperationalError
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

LOOK_S: Final = 0.5
MOST_PREPARED: Final = 256
"""Statements that are kept prepared on a connection; further ones are parsed each time."""
LINES: Final = 8
"""Connections of a pool: more than a few statements at once only wait for each other."""
_PLACE: Final = re.compile(r"\$(\d+)")
_GOOD: Final = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


class Statement:
    """SQL with its parameters as `$1`, `$2`, …; two of the same text are the same on a line."""

    __slots__ = ("name", "text")

    def __init__(self, text: str) -> None:
        """Nothing is sent yet."""
        self.text = text.encode()
        self.name = b"o_" + blake2b(self.text, digest_size=8).hexdigest().encode()

    @property
    def of_driver(self) -> str:
        """The same as psycopg's cursors take it; its parameters are called `p1`, `p2` and so on."""
        return _PLACE.sub(r"%(p\1)s", self.text.decode().replace("%", "%%"))


class Call(NamedTuple):
    """A statement and its values in text format; None is NULL."""

    statement: Statement
    values: Sequence[bytes | None] = ()


@lru_cache(maxsize=1024)
def statement(text: str) -> Statement:
    """The statement of a text that is put together anew for each use."""
    return Statement(text)


class Line:
    """A connection of one's own, in autocommit mode; one call at a time."""

    def __init__(self, connection: AsyncConnection) -> None:
        """`connection` is used for nothing else from now on, on this event loop."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._pgconn.enter_pipeline_mode()
        self._prepared: set[bytes] = set()
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._readable: asyncio.Future[None] = self._loop.create_future()
        self._is_busy = False
        self._is_watched = True
        self._loop.add_reader(self._socket, self._on_readable)
        self.is_usable = True
        """False once the connection broke, or a call was given up."""

    async def run(self, *calls: Call) -> list[PGresult]:
        """The result of each call, in order.

        Raises:
            psycopg.Error: a statement failed, and none of the following ran; or the connection
                broke, and whether any had its effect is unknown.
        """
        if not self.is_usable:
            raise OperationalError("the server has closed the connection")
        done = False
        try:
            prepared = self._send(calls)
            results = await self._results()
            done = True
        finally:
            self.is_usable = self.is_usable and done
        answers: list[PGresult] = []
        failed: PGresult | None = None
        for result, name in zip(results, prepared, strict=True):
            if result.status not in _GOOD:
                failed = failed or result
            elif name is None:
                answers.append(result)
            else:
                self._prepared.add(name)
        if failed is not None:
            raise error_from_result(failed)
        return answers

    async def close(self) -> None:
        """Close the connection."""
        self.is_usable = False
        self._forget_socket()
        await self._connection.close()

    def _send(self, calls: Sequence[Call]) -> list[bytes | None]:
        """Put the calls into libpq's buffer; of each result to come, what is prepared by it."""
        prepared: list[bytes | None] = []
        coming: set[bytes] = set()
        for wanted, values in calls:
            is_kept = wanted.name in self._prepared or wanted.name in coming
            if not is_kept and len(self._prepared) + len(coming) < MOST_PREPARED:
                is_kept = True
                coming.add(wanted.name)
                self._pgconn.send_prepare(wanted.name, wanted.text)
                prepared.append(wanted.name)
            if is_kept:
                self._pgconn.send_query_prepared(wanted.name, values)
            else:
                self._pgconn.send_query_params(wanted.text, values)
            prepared.append(None)
        self._pgconn.pipeline_sync()
        return prepared

    async def _results(self) -> list[PGresult]:
        results: list[PGresult] = []
        self._is_busy = True
        self._timer = self._loop.call_later(LOOK_S, self._look)
        try:
            while self._pgconn.flush():
                await self._writable()
            while True:
                while self._pgconn.is_busy():
                    self._readable = self._loop.create_future()
                    await self._readable
                    self._pgconn.consume_input()
                result = self._pgconn.get_result()
                if result is None:
                    self._require_alive()
                elif result.status == ExecStatus.PIPELINE_SYNC:
                    return results
                else:
                    results.append(result)
        finally:
            self._timer.cancel()
            self._is_busy = False

    def _require_alive(self) -> None:
        if self._pgconn.status != ConnStatus.OK:
            raise OperationalError(self._pgconn.get_error_message() or "the connection broke")

    async def _writable(self) -> None:
        """Wait until the socket takes more of a large call."""
        writable = self._loop.create_future()
        self._loop.add_writer(self._socket, _set, writable)
        try:
            await asyncio.wait([writable], timeout=LOOK_S)
        finally:
            self._loop.remove_writer(self._socket)
        # The server may wait until its first answers are taken.
        self._pgconn.consume_input()

    def _on_readable(self) -> None:
        if self._is_busy:
            _set(self._readable)
        else:
            # Nobody asked: the server says goodbye.
            self.is_usable = False
            self._forget_socket()

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_S, self._look)
        _set(self._readable)

    def _forget_socket(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._socket)


class Lines:
    """A few lines to one database, made when they are needed and kept."""

    def __init__(self, url: str, size: int = LINES) -> None:
        """`url` is a plain `postgresql://` URL; nothing connects yet."""
        self._url = url
        self._idle: list[Line] = []
        self._places = asyncio.Semaphore(size)

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """A line for the time of the block.

        Raises:
            psycopg.OperationalError: PostgreSQL cannot be reached.
        """
        async with self._places:
            line = await self._take()
            try:
                yield line
            finally:
                if line.is_usable:
                    self._idle.append(line)
                else:
                    await line.close()

    async def run(self, *calls: Call) -> list[PGresult]:
        """`Line.run` on any line."""
        async with self.line() as line:
            return await line.run(*calls)

    async def close(self) -> None:
        """Close the lines that are not in use."""
        while self._idle:
            await self._idle.pop().close()

    async def _take(self) -> Line:
        while self._idle:
            line = self._idle.pop()
            if line.is_usable:
                return line
            await line.close()
        return Line(await AsyncConnection.connect(self._url, autocommit=True))


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
