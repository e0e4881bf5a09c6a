"""The SQL of messages between agents: each is a background run of the one that gets it.

The run's request is named after the call that sends it, so a call that is made again finds the run
that it began, whether that has ended or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row

from o_contracts.bridge import TurnOpen
from o_platform.agents.background_turns import queue_background, tell_runs
from o_platform.agents.past_runs import FinishedRun, fetch_finished
from o_platform.agents.request_keys import request_key
from o_platform.db.sealing import Vault

_NAMED: Final = "SELECT id, name FROM agents WHERE id = ANY(%s::text[])"
_TAGGED: Final = """
SELECT id, name FROM agents
WHERE id <> %s AND tags @> %s::text[] AND (cardinality(%s::text[]) = 0 OR tags && %s::text[])
ORDER BY id LIMIT %s
"""
_FAILURE: Final = """
SELECT coalesce(failure ->> 'message', 'it left no outcome') FROM background_runs
WHERE run_id = %s AND ended_at IS NOT NULL
"""


class Addressee(NamedTuple):
    """An agent that is written to."""

    id: str
    name: str


class Sent(NamedTuple):
    """A message on its way, or answered: the run that it is for its addressee."""

    to: Addressee
    run_id: str
    request_key: str


async def find_named(connection: AsyncConnection, ids: Sequence[str]) -> list[Addressee]:
    """Those of these agents that exist."""
    async with connection.cursor(row_factory=class_row(Addressee)) as cursor:
        await cursor.execute(_NAMED, (list(ids),))
        return await cursor.fetchall()


async def find_tagged(
    connection: AsyncConnection, sender: str, every: Sequence[str], some: Sequence[str], most: int
) -> list[Addressee]:
    """Agents other than the sender with every one and some of these tags; `most` of them."""
    async with connection.cursor(row_factory=class_row(Addressee)) as cursor:
        values = (sender, list(every), list(some), list(some), most)
        await cursor.execute(_TAGGED, values)
        return await cursor.fetchall()


async def send(
    connection: AsyncConnection,
    vault: Vault,
    to: Sequence[Addressee],
    text: str,
    request_id: str,
    client: str,
) -> list[Sent]:
    """Begin a run of each addressee, unless the request has one; all or none."""
    turn = {"messages": [{"role": "user", "content": text}]}
    sent = []
    async with connection.transaction():
        for one in to:
            key = request_key(TurnOpen(one.id, request_id, ""))
            past = await fetch_finished(connection, vault, one.id, key)
            run_id = past.run_id if past else await queue_background(
                connection, vault, one.id, turn, client, request_id
            )  # fmt: skip
            sent.append(Sent(one, run_id, key))
        await tell_runs(connection, [one.run_id for one in sent])
    return sent


async def outcome(
    connection: AsyncConnection, vault: Vault, sent: Sent
) -> FinishedRun | str | None:
    """What became of it: its run, why it failed, or None as long as it goes on."""
    cursor = await connection.execute(_FAILURE, (sent.run_id,))
    ended = await cursor.fetchone()
    finished = await fetch_finished(connection, vault, sent.to.id, sent.request_key)
    if finished is not None:
        return finished
    return str(ended[0]) if ended else None
