"""Engine, sessions and the unit of work.

`unit_of_work()` and `exchange()` are the only places that commit; `reading()` is for reads alone.
What is asked for all the time does without a session: `ask()` runs one statement that answers with
JSON, `ask_all()` several in one transaction and `exchange()` several that depend on each other,
all on a few lines of their own (`line`). Change announcements (`announce`) are sent by PostgreSQL
when the transaction commits, and not at all when it does not. Sessions seal and open what is
encrypted at rest (`sealed_columns`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import msgspec
import psycopg
from psycopg.pq.abc import PGresult
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from o_platform.db.line import Call, Line, Lines, Statement
from o_platform.db.sealed_columns import VAULT
from o_platform.db.sealing import Vault
from o_platform.errors import DatabaseUnavailableError

CHANNEL_AGENTS = "o_agents"
"""Payload: an agent id whose context changed."""
CHANNEL_INSTANCES = "o_instances"
"""Payload: an instance id whose row changed."""
CHANNEL_SCHEDULES = "o_schedules"
"""A scheduled turn was added."""
CHANNEL_RUNS = "o_runs"
"""Payload: the id of a background run that was begun, has lost its runner, or has ended."""
CHANNEL_RUN_EVENTS = "o_run_events"
"""Payload: the id of a background run that has new events."""
CHANNEL_EMBEDDINGS = "o_embeddings"
"""Payload: an archive id that lacks vectors of its embedding model, or of its next one."""
CHANNEL_FILES = "o_files"
"""Payload: the id of a document that is to be read."""
CHANNEL_SEALING = "o_sealing"
"""There is a new encryption key; what is sealed with others has to be sealed anew."""
CHANNEL_ROUTES = "o_routes"
"""Payload: a lineage's name, or `keys`; the routes must be rendered anew."""


Value = str | int | bool | Sequence[str] | None
"""A parameter of a statement; a sequence is an array of texts."""


Wanted = tuple[Statement, Sequence[Value]]
"""A statement and its values."""


class Ask(Protocol):
    """Runs a statement that answers with JSON: on a line of its own, or in a transaction."""

    async def __call__(self, statement: Statement, *values: Value) -> list[Any]:
        """The first column of each row, decoded."""
        ...


def sqlalchemy_url(database_url: str) -> str:
    """`database_url` with the driver this project uses (psycopg 3)."""
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if database_url.startswith(prefix):
            return "postgresql+psycopg://" + database_url.removeprefix(prefix)
    raise ValueError("DATABASE_URL must start with postgresql://")


class Database:
    """One engine and its sessions."""

    def __init__(self, database_url: str, vault: Vault, *, pool_size: int = 20) -> None:
        """`database_url` is a plain `postgresql://` URL; nothing connects yet.

        Connections are made when they are needed, and kept: to make one costs more than what most
        requests ask of it.
        """
        self.url = database_url
        self.vault = vault
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(database_url), pool_size=pool_size, max_overflow=0,
            hide_parameters=True,
        )  # fmt: skip
        self._lines = Lines(database_url)
        self._sessions = async_sessionmaker(
            self.engine, expire_on_commit=False, info={VAULT: vault}
        )
        self._readers = async_sessionmaker(
            self.engine.execution_options(isolation_level="AUTOCOMMIT"), info={VAULT: vault}
        )

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on an exception.

        Raises:
            DatabaseUnavailableError: PostgreSQL cannot be reached.
        """
        with _told_if_away():
            async with self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session for reads, each of which is its own transaction.

        They see no less than within one (which is read committed), and cost two round trips less.

        Raises:
            DatabaseUnavailableError: PostgreSQL cannot be reached.
        """
        with _told_if_away():
            async with self._readers() as session:
                yield session

    async def ask(self, statement: Statement, *values: Value) -> list[Any]:
        """The JSON of each row of a statement, which is a transaction of its own.

        Raises:
            DatabaseUnavailableError: PostgreSQL cannot be reached.
            psycopg.Error: the statement failed.
        """
        (rows,) = await self.ask_all((statement, values))
        return rows

    async def ask_all(self, *wanted: Wanted) -> list[list[Any]]:
        """For each statement the JSON of each of its rows; all of them are one transaction.

        Raises:
            DatabaseUnavailableError: PostgreSQL cannot be reached.
            psycopg.Error: a statement failed, and none had an effect.
        """
        with _told_if_away():
            results = await self._lines.run(*map(_call, wanted))
        return [*map(_documents, results)]

    @asynccontextmanager
    async def exchange(self) -> AsyncIterator[Exchange]:
        """A transaction in few round trips: committed by `finish`, rolled back without.

        Raises:
            DatabaseUnavailableError: PostgreSQL cannot be reached.
            psycopg.Error: a statement failed.
        """
        with _told_if_away():
            async with self._lines.line() as line:
                exchange = Exchange(line)
                try:
                    yield exchange
                finally:
                    await exchange.end()

    async def close(self) -> None:
        """Close every connection."""
        await self._lines.close()
        await self.engine.dispose()


class Exchange:
    """A transaction on a line; statements that are asked together take one round trip."""

    def __init__(self, line: Line) -> None:
        """Made by `Database.exchange`."""
        self._line = line
        self._is_open = False

    async def __call__(self, statement: Statement, *values: Value) -> list[Any]:
        """The JSON of each row of one statement."""
        (rows,) = await self.ask((statement, values))
        return rows

    async def ask(self, *wanted: Wanted) -> list[list[Any]]:
        """For each statement the JSON of each of its rows."""
        opening = [] if self._is_open else [Call(_BEGIN)]
        self._is_open = True
        results = await self._line.run(*opening, *map(_call, wanted))
        return [*map(_documents, results[len(opening) :])]

    async def finish(self, *wanted: Wanted) -> list[list[Any]]:
        """The same, and commit."""
        results = await self._line.run(*map(_call, wanted), Call(_COMMIT))
        self._is_open = False
        return [*map(_documents, results[:-1])]

    async def end(self) -> None:
        """Roll back what was not committed."""
        if self._is_open and self._line.is_usable:
            await self._line.run(Call(_ROLLBACK))


_BEGIN = Statement("BEGIN")
_COMMIT = Statement("COMMIT")
_ROLLBACK = Statement("ROLLBACK")


def within(session: AsyncSession) -> Ask:
    """Runs statements in the session's transaction; what it holds must have been flushed."""

    async def ask(statement: Statement, *values: Value) -> list[Any]:
        connection = await session.connection()
        sent = {f"p{n}": _text(value) for n, value in enumerate(values, 1)}
        rows = await connection.exec_driver_sql(statement.of_driver, sent)
        return [msgspec.json.decode(row[0]) for row in rows] if rows.returns_rows else []

    return ask


def _call(wanted: Wanted) -> Call:
    statement, values = wanted
    return Call(statement, [*map(_sent, values)])


def _sent(value: Value) -> bytes | None:
    text = _text(value)
    return None if text is None else text.encode()


def _text(value: Value) -> str | None:
    """The value in PostgreSQL's text format."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return f"{{{','.join(map(_quoted, value))}}}"


def _quoted(item: str) -> str:
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _documents(result: PGresult) -> list[Any]:
    values = (result.get_value(row, 0) for row in range(result.ntuples))
    return [msgspec.json.decode(value) for value in values if value is not None]


@contextmanager
def _told_if_away() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise _unavailable(error.orig) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _unavailable(error) from error


def _unavailable(cause: BaseException | None) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"PostgreSQL does not answer: {cause}; see `o status` and `o logs postgres`"
    )


async def announce(session: AsyncSession, channel: str, payload: str) -> None:
    """Tell listeners of `channel` when this transaction commits."""
    await session.execute(text("SELECT pg_notify(:c, :p)"), {"c": channel, "p": payload})
