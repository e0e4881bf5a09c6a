"""Reads a database of the retired server (0.16.x), as one consistent snapshot, changing nothing.

Tables and columns are looked up, not assumed: a column that is not there is as if it were empty, a
table that is not there leaves its rows out, and the report says so. Rows marked as deleted are left
out; vectors are not read, since texts are embedded anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from o_platform.errors import SetupError

Row = dict[str, Any]
AGENTS: Final = "agents"
MESSAGES: Final = "messages"
BLOCKS: Final = ("block", "blocks")
PASSAGES: Final = ("archival_passages", "agent_passages")
OPTIONAL: Final = ("tools", "archives", "blocks_agents", "tools_agents", "archives_agents")
BATCH: Final = 500
_COLUMNS: Final = """
SELECT table_schema, table_name, column_name FROM information_schema.columns
WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY table_schema
"""
_UNREAD: Final = frozenset({"embedding"})


class LettaDatabase:
    """What `opened` yields."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        """`connection` has a read-only snapshot.

        Raises:
            SetupError: it holds no tables of the retired server.
        """
        self._connection = connection
        self._tables = _tables(connection)
        missing = {AGENTS, MESSAGES} - self._tables.keys()
        if missing:
            raise SetupError(
                f"this is no database of a Letta server: it has no table {missing.pop()!r}; "
                "check the URL, and its user's rights"
            )

    @property
    def missing(self) -> list[str]:
        """Tables that are not there."""
        names = [name for name in OPTIONAL if name not in self._tables]
        return names + [either[0] for either in (BLOCKS, PASSAGES) if not self._either(either)]

    def count(self, table: str | Sequence[str]) -> int:
        """How many rows of a table are there, deleted ones left out."""
        name = self._either(table)
        if name is None:
            return 0
        row = self._connection.execute(self._select(name, {}, count=True)).fetchone()
        return int(row["count"]) if row else 0

    def rows(
        self, table: str | Sequence[str], order: Sequence[str] = ("id",), **where: Any
    ) -> Iterator[Row]:
        """Rows of a table with these values, in batches behind the scenes."""
        name = self._either(table)
        if name is None or not where.keys() <= set(self._tables[name][1]):
            return
        query = self._select(name, where, order=order)
        with self._connection.cursor(name="rows_" + name) as cursor:
            cursor.itersize = BATCH
            cursor.execute(query, list(where.values()))
            yield from cursor

    def has(self, table: str | Sequence[str], column: str) -> bool:
        """Whether a table has a column."""
        name = self._either(table)
        return name is not None and column in self._tables[name][1]

    def _either(self, table: str | Sequence[str]) -> str | None:
        names = (table,) if isinstance(table, str) else table
        return next((name for name in names if name in self._tables), None)

    def _select(
        self, name: str, where: Row, *, order: Sequence[str] = (), count: bool = False
    ) -> sql.Composed:
        schema, columns = self._tables[name]
        wanted = [sql.Identifier(one) for one in columns if one not in _UNREAD]
        what = sql.SQL("count(*) AS count") if count else sql.SQL(", ").join(wanted)
        conditions: list[sql.Composable] = [
            sql.SQL("{} = %s").format(sql.Identifier(one)) for one in where
        ]
        if "is_deleted" in columns:
            conditions.append(sql.SQL("NOT coalesce(is_deleted, false)"))
        query = sql.SQL("SELECT {} FROM {}").format(what, sql.Identifier(schema, name))
        if conditions:
            query += sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions)
        keys = [sql.Identifier(one) for one in order if one in columns]
        return query + (sql.SQL(" ORDER BY ") + sql.SQL(", ").join(keys) if keys else sql.SQL(""))


@contextmanager
def opened(url: str) -> Iterator[LettaDatabase]:
    """The database behind a URL.

    Raises:
        SetupError: it cannot be reached, or is not one of the retired server.
    """
    plain = url.replace("postgresql+asyncpg://", "postgresql://").replace(
        "postgresql+psycopg://", "postgresql://"
    )
    try:
        connection = psycopg.connect(plain, row_factory=dict_row, connect_timeout=15)
    except psycopg.OperationalError as error:
        raise SetupError(f"the database cannot be reached: {error}") from error
    with connection:
        connection.set_read_only(True)
        connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        yield LettaDatabase(connection)


def _tables(connection: psycopg.Connection[Row]) -> dict[str, tuple[str, list[str]]]:
    """Schema and columns by table; those of the schema that has the agents."""
    found = connection.execute(_COLUMNS).fetchall()
    homes = {row["table_schema"] for row in found if row["table_name"] == AGENTS}
    home = min(homes, default="public")
    tables: dict[str, tuple[str, list[str]]] = {}
    for row in found:
        if row["table_schema"] == home:
            tables.setdefault(row["table_name"], (home, []))[1].append(row["column_name"])
    return tables
