"""The rows the bridge lives by: instances and their wanted state; and what it reports of them."""

from __future__ import annotations

from typing import Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from o_platform.bridge.turn import Caller

MALFORMED: Final = "instance.malformed"
"""Event: an instance broke the protocol; its connection was closed."""


class InstanceRow(NamedTuple):
    """An instance that may be connected. Not wanted: what it runs may end, nothing new comes in."""

    caller: Caller
    wanted: bool


_INSTANCES = """
SELECT id, role, variant, lineage, wanted FROM instances
WHERE wanted OR status IN ('starting', 'ready', 'stopping')
"""


async def fetch_instances(connection: AsyncConnection) -> list[InstanceRow]:
    """Every instance that may be connected."""
    cursor = await connection.execute(_INSTANCES)
    return [InstanceRow(Caller(*row[:4]), row[4]) async for row in cursor]


async def record_malformed(
    connection: AsyncConnection, instance_id: str, reason: str, count: int
) -> None:
    """Report that an instance broke the protocol for the `count`-th time."""
    await connection.execute(
        "INSERT INTO events (kind, subject, message, data) VALUES (%s, %s, %s, %s)",
        (MALFORMED, instance_id, f"protocol broken: {reason}"[:1000], Jsonb({"count": count})),
    )
