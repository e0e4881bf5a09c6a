"""Agents by the thousand, inserted straight into the database.

One agent is made through the API; the others are copies of its rows with ids of their own, so that
they are what the API makes, whatever columns that has by now.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from o_contracts.ids import DEFAULT_LINEAGE_KEY, new_agent_id

_BATCH: Final = 20_000


def add_agents(database_url: str, template_id: str, count: int) -> list[str]:
    """Insert `count` copies of an agent and of its blocks; returns their ids."""
    ids = [new_agent_id(DEFAULT_LINEAGE_KEY) for _ in range(count)]
    with psycopg.connect(database_url) as connection:
        for start in range(0, count, _BATCH):
            _copy(connection, template_id, ids[start : start + _BATCH])
            connection.commit()
        connection.autocommit = True
        for table in ("agents", "blocks", "agent_blocks"):
            connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
    return ids


def write_ids(path: Path, ids: list[str]) -> Path:
    """One id per line, as the load generator reads them."""
    path.write_text("".join(f"{agent_id}\n" for agent_id in ids))
    return path


def _copy(connection: psycopg.Connection, template_id: str, ids: list[str]) -> None:
    _insert(
        connection,
        "agents",
        "SELECT new.id, {others} FROM agents, unnest(%(ids)s::text[]) AS new(id)"
        " WHERE agents.id = %(template)s",
        ("id",),
        template_id,
        ids,
    )
    _insert(
        connection,
        "blocks",
        # Plain, as rows from before there were keys: a sealed text is bound to its own row.
        "SELECT 'block-' || md5(new.id || held.position)::uuid, 'a block', {others}"
        " FROM blocks JOIN agent_blocks held ON held.block_id = blocks.id,"
        " unnest(%(ids)s::text[]) AS new(id) WHERE held.agent_id = %(template)s",
        ("id", "value"),
        template_id,
        ids,
    )
    _insert(
        connection,
        "agent_blocks",
        "SELECT new.id, 'block-' || md5(new.id || agent_blocks.position)::uuid, {others}"
        " FROM agent_blocks, unnest(%(ids)s::text[]) AS new(id)"
        " WHERE agent_blocks.agent_id = %(template)s",
        ("agent_id", "block_id"),
        template_id,
        ids,
    )


def _insert(
    connection: psycopg.Connection,
    table: LiteralString,
    query: LiteralString,
    replaced: tuple[LiteralString, ...],
    template_id: str,
    ids: list[str],
) -> None:
    """Insert what `query` selects: the `replaced` columns, then all others as they are."""
    others = [name for name in _columns(connection, table) if name not in replaced]
    names = sql.SQL(", ").join(map(sql.Identifier, (*replaced, *others)))
    selected = sql.SQL(", ").join(sql.Identifier(table, name) for name in others)
    statement = sql.SQL("INSERT INTO {} ({}) ").format(sql.Identifier(table), names)
    statement += sql.SQL(query).format(others=selected)
    connection.execute(statement, {"ids": ids, "template": template_id})


def _columns(connection: psycopg.Connection, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND attgenerated = '' AND attidentity = '' ORDER BY attnum",
        (table,),
    )
    return [str(name) for (name,) in rows]
