"""Agents by the thousand, inserted straight into the database.

One agent is made through the API; the others are copies of its rows with ids of their own, so that
they are what the API makes, whatever columns that has by now. A block's text is sealed for its own
row, so each copy has it opened and sealed anew.
"""

from __future__ import annotations

from typing import Final, LiteralString

import psycopg
from psycopg import sql

from o_contracts.ids import DEFAULT_LINEAGE_KEY, new_agent_id, new_id
from o_platform.db.sealed_columns import BLOCK_VALUE
from o_platform.db.sealing import Vault

_BATCH: Final = 20_000
_HELD: Final = (
    "SELECT blocks.id, value FROM blocks JOIN agent_blocks ON block_id = blocks.id"
    " WHERE agent_id = %s ORDER BY position"
)


def add_agents(database_url: str, vault: Vault, template_id: str, count: int) -> list[str]:
    """Insert `count` copies of an agent and of its blocks; returns their ids."""
    ids = [new_agent_id(DEFAULT_LINEAGE_KEY) for _ in range(count)]
    with psycopg.connect(database_url) as connection:
        for start in range(0, count, _BATCH):
            _copy(connection, vault, template_id, ids[start : start + _BATCH])
            connection.commit()
        connection.autocommit = True
        for table in ("agents", "blocks", "agent_blocks"):
            connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
    return ids


def _copy(connection: psycopg.Connection, vault: Vault, template_id: str, ids: list[str]) -> None:
    _insert(
        connection,
        "agents",
        "SELECT new.id, {others} FROM agents, unnest(%(ids)s::text[]) AS new(id)"
        " WHERE agents.id = %(template)s",
        ("id",),
        template_id,
        ids=ids,
    )
    held = connection.execute(_HELD, (template_id,)).fetchall()
    for block_id, stored in held:
        value = BLOCK_VALUE.opened(vault, stored, block_id)
        copies = [new_id("block") for _ in ids]
        _insert(
            connection,
            "blocks",
            "SELECT new.id, new.value, {others} FROM blocks,"
            " unnest(%(blocks)s::text[], %(values)s::text[]) AS new(id, value)"
            " WHERE blocks.id = %(template)s",
            ("id", "value"),
            block_id,
            blocks=copies,
            values=[BLOCK_VALUE.sealed(vault, value, copy) for copy in copies],
        )
        _insert(
            connection,
            "agent_blocks",
            "SELECT new.agent_id, new.block_id, {others} FROM agent_blocks,"
            " unnest(%(ids)s::text[], %(blocks)s::text[]) AS new(agent_id, block_id)"
            " WHERE agent_blocks.block_id = %(template)s AND agent_blocks.agent_id = %(agent)s",
            ("agent_id", "block_id"),
            block_id,
            ids=ids,
            blocks=copies,
            agent=template_id,
        )


def _insert(
    connection: psycopg.Connection,
    table: LiteralString,
    query: LiteralString,
    replaced: tuple[LiteralString, ...],
    template_id: str,
    **values: object,
) -> None:
    """Insert what `query` selects: the `replaced` columns, then all others as they are."""
    others = [name for name in _columns(connection, table) if name not in replaced]
    names = sql.SQL(", ").join(map(sql.Identifier, (*replaced, *others)))
    selected = sql.SQL(", ").join(sql.Identifier(table, name) for name in others)
    statement = sql.SQL("INSERT INTO {} ({}) ").format(sql.Identifier(table), names)
    statement += sql.SQL(query).format(others=selected)
    connection.execute(statement, {"template": template_id, **values})


def _columns(connection: psycopg.Connection, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND attgenerated = '' AND attidentity = '' ORDER BY attnum",
        (table,),
    )
    return [str(name) for (name,) in rows]
