"""Filling a table by the million: without its indexes, which are built from their definitions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, LiteralString

import psycopg
from psycopg import sql

BUILD_OPTIONS: Final = {
    "maintenance_work_mem": "3GB",
    "max_parallel_maintenance_workers": "1",
}
"""For building an index of a million vectors in memory, on two cores."""
_INDEXES: Final = """
SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::regclass
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
ORDER BY c.relname
"""
Took = dict[str, float]


@contextmanager
def without_indexes(
    connection: psycopg.Connection, table: LiteralString, took: Took
) -> Iterator[None]:
    """Drop a table's indexes for the time of the block, but those of its constraints.

    How many seconds each took to build is added to `took`, by its name.
    """
    found = connection.execute(_INDEXES, (table,)).fetchall()
    for name, _ in found:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    yield
    for name, value in BUILD_OPTIONS.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    for name, definition in found:
        began = time.perf_counter()
        connection.execute(definition.encode())
        took[str(name)] = time.perf_counter() - began
    connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
