"""Engine, sessions and the unit of work.

`unit_of_work()` is the only place that commits; `reading()` is for reads alone. Change
announcements (`announce`) are sent by PostgreSQL when the transaction commits, and not at all when
it does not. Sessions seal and open what is encrypted at rest (`sealed_columns`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

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

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


@contextmanager
def _told_if_away() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailableError(
            f"PostgreSQL does not answer: {error.orig}; see `o status` and `o logs postgres`"
        ) from error


async def announce(session: AsyncSession, channel: str, payload: str) -> None:
    """Tell listeners of `channel` when this transaction commits."""
    await session.execute(text("SELECT pg_notify(:c, :p)"), {"c": channel, "p": payload})
