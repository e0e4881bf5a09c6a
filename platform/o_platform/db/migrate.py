"""Creates the database if it is missing and brings it to the newest migration."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import create_engine
from sqlalchemy.exc import NotSupportedError, ProgrammingError

from o_platform.db.engine import sqlalchemy_url
from o_platform.errors import DatabaseUnavailableError, SetupError

_LOCK = 0x0_5EED_0F_0B
"""Advisory lock: two starts at once migrate one after the other."""


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for this project's migrations on `database_url`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = sqlalchemy_url(database_url)
    return config


def upgrade(database_url: str) -> None:
    """Create the database if missing, then migrate it to head.

    Raises:
        DatabaseUnavailableError: the server does not answer.
        SetupError: the role may not create the database, or pgvector is not installed.
    """
    ensure_database(database_url)
    try:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            command.upgrade(alembic_config(database_url), "head")
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        raise SetupError(
            f"the role may not set up the database: {error.orig}; grant it that, or have an "
            "administrator run CREATE EXTENSION vector there"
        ) from error
    except NotSupportedError as error:
        raise SetupError(
            f"this PostgreSQL lacks the extension pgvector: {error.orig}; install it on the server"
        ) from error


def ensure_database(database_url: str) -> None:
    """Create the database named in `database_url` unless it exists.

    Raises:
        DatabaseUnavailableError: the server does not answer.
        SetupError: the role may not create it.
    """
    try:
        psycopg.connect(database_url, connect_timeout=5).close()
        return
    except psycopg.ProgrammingError as error:
        raise SetupError(f"DATABASE_URL cannot be used: {error}") from error
    except psycopg.OperationalError as error:
        if f'database "{_name(database_url)}" does not exist' not in str(error):
            raise DatabaseUnavailableError(
                f"PostgreSQL does not answer: {error}; check DATABASE_URL and the server"
            ) from error
    name = _name(database_url)
    try:
        with psycopg.connect(
            make_conninfo(database_url, dbname="postgres"), autocommit=True
        ) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.DuplicateDatabase:
        return
    except psycopg.Error as error:
        raise SetupError(
            f"cannot create the database {name!r}: {error}; create it, or grant CREATEDB"
        ) from error


def _name(database_url: str) -> str:
    return str(conninfo_to_dict(database_url)["dbname"])


def pending(database_url: str) -> bool:
    """Whether the database is behind the newest migration."""
    head = ScriptDirectory.from_config(alembic_config(database_url)).get_current_head()
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() != head
    finally:
        engine.dispose()
