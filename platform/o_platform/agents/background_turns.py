"""The bridge's SQL of background turns: their rows, their events, and runs that end early."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from o_contracts.bridge import TurnOpen
from o_contracts.ids import new_id
from o_contracts.messages import StopReason
from o_platform.agents.past_runs import agent_of
from o_platform.agents.request_keys import request_key
from o_platform.db.engine import CHANNEL_RUN_EVENTS, CHANNEL_RUNS
from o_platform.db.sealed_columns import BACKGROUND_BODY, EVENT_DATA
from o_platform.db.sealing import Vault

LOOK_AGAIN_S: Final = 30
"""How long a run is left alone after somebody was seen to run it."""


class BackgroundTurn(NamedTuple):
    """A background turn that somebody begins to run; `body` is the request's."""

    run_id: str
    agent_id: str
    conversation_id: str | None
    request_key: str
    request_id: str
    client: str
    body: str
    body_digest: str


class Begun(NamedTuple):
    """The run's id, and the events it has published so far."""

    run_id: str
    events: list[str]


class PublishedEvent(NamedTuple):
    """One event; `seq` counts from 1."""

    run_id: str
    seq: int
    data: str


class EarlyEnd(NamedTuple):
    """A run that ended without an outcome of its own: cancelled in the queue, or failed.

    `code` and `message` say why it failed, `model` which model it was that gave no reply, if one
    was to: that call is kept as a step, the only one. A failed one does not answer its request,
    should that be repeated: it is then run anew.
    """

    run_id: str
    agent_id: str
    conversation_id: str | None
    background: bool
    request_key: str
    stop_reason: StopReason
    client: str
    body_digest: str
    variant: str = ""
    instance_id: str = ""
    duration_us: int = 0
    code: str = ""
    message: str = ""
    model: str = ""

    @property
    def status(self) -> str:
        """`cancelled` or `failed`."""
        return "failed" if self.code else "cancelled"


_BEGIN = """
INSERT INTO background_runs (
  run_id, agent_id, conversation_id, request_key, request_id, client, body, body_digest,
  next_try_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s))
ON CONFLICT (agent_id, request_key) WHERE ended_at IS NULL
DO UPDATE SET next_try_at = excluded.next_try_at
RETURNING run_id
"""

_FIND = """
SELECT run_id FROM background_runs
WHERE agent_id = %s AND request_key = %s AND ended_at IS NULL
"""

_EVENTS = "SELECT seq, data FROM run_events WHERE run_id = %s ORDER BY seq"

_WRITE_EVENTS = """
INSERT INTO run_events (run_id, seq, data)
SELECT new.run_id, new.seq, new.data
FROM unnest(%s::text[], %s::int[], %s::text[]) AS new(run_id, seq, data)
JOIN background_runs USING (run_id)
ON CONFLICT DO NOTHING
"""

_NOTIFY = "SELECT pg_notify(%s, run_id) FROM unnest(%s::text[]) AS told(run_id)"

_RELEASE = "UPDATE background_runs SET next_try_at = now() WHERE run_id = %s AND ended_at IS NULL"

_END_EARLY = """
WITH run AS (
  INSERT INTO runs (
    id, agent_id, conversation_id, background, request_key, status, stop_reason, variant,
    instance_id, client, body_digest, prompt_tokens, completion_tokens, cached_input_tokens,
    reasoning_tokens, step_count, duration_us, failure)
  SELECT %(run_id)s, id, %(conversation_id)s, %(background)s, %(request_key)s, %(status)s,
    %(stop_reason)s, %(variant)s, %(instance_id)s, %(client)s, %(body_digest)s, 0, 0, 0, 0,
    (%(step_id)s::text IS NOT NULL)::int, %(duration_us)s, %(failure)s
  FROM agents WHERE id = %(agent_id)s
  ON CONFLICT DO NOTHING
  RETURNING id
), step AS (
  INSERT INTO steps (
    id, run_id, model, prompt_tokens, completion_tokens, stop_reason, llm_us, tool_us, failure)
  SELECT %(step_id)s, id, %(model)s, 0, 0, %(stop_reason)s, 0, 0, %(failure)s
  FROM run WHERE %(step_id)s::text IS NOT NULL
)
UPDATE background_runs SET
  ended_at = now(), next_try_at = now(), body = NULL, failure = %(failure)s
WHERE run_id = %(run_id)s AND ended_at IS NULL
"""


async def begin_background(
    connection: AsyncConnection, vault: Vault, turn: BackgroundTurn
) -> Begun:
    """Make the turn known, unless it is; whoever runs it is left alone for a while."""
    body = BACKGROUND_BODY.sealed(vault, turn.body, turn.run_id)
    values = (*turn._replace(body=body), LOOK_AGAIN_S)
    cursor = await connection.execute(_BEGIN, values)
    row = await cursor.fetchone()
    if row is None:
        raise LookupError(f"the row of {turn.run_id} was neither inserted nor found")
    cursor = await connection.execute(_EVENTS, (row[0],))
    events = [EVENT_DATA.opened(vault, data, row[0], seq) async for seq, data in cursor]
    return Begun(row[0], events)


async def queue_background(
    connection: AsyncConnection,
    vault: Vault,
    agent_id: str,
    turn: dict[str, Any],
    client: str,
    request_id: str = "",
) -> str:
    """Make a turn of the platform's own known, to be sent now; returns its run.

    That of a request that is known already, as long as it has not ended. Nobody hears of it before
    `tell_runs`.
    """
    body = json.dumps(turn | {"streaming": True, "background": True}, ensure_ascii=False)
    run_id = new_id("run")
    digest = hashlib.sha256(body.encode()).hexdigest()
    request_id = request_id or run_id
    key = request_key(TurnOpen(agent_id, request_id, digest))
    sealed = BACKGROUND_BODY.sealed(vault, body, run_id)
    row = BackgroundTurn(run_id, agent_id, None, key, request_id, client, sealed, digest)
    cursor = await connection.execute(_BEGIN, (*row, 0))
    (begun,) = await cursor.fetchone() or (run_id,)
    return str(begun)


async def find_background(
    connection: AsyncConnection, thread_id: str, request_key: str
) -> str | None:
    """The id of the background run of this request that has not ended."""
    agent_id = await agent_of(connection, thread_id)
    cursor = await connection.execute(_FIND, (agent_id, request_key))
    row = await cursor.fetchone()
    return row[0] if row else None


async def write_events(
    connection: AsyncConnection, vault: Vault, events: Sequence[PublishedEvent]
) -> None:
    """Store events, but none twice, and tell who follows their runs."""
    data = [EVENT_DATA.sealed(vault, event.data, event.run_id, event.seq) for event in events]
    columns = ([e.run_id for e in events], [e.seq for e in events], data)
    async with connection.transaction():
        await connection.execute(_WRITE_EVENTS, columns)
        told = list(dict.fromkeys(columns[0]))
        await connection.execute(_NOTIFY, (CHANNEL_RUN_EVENTS, told))


async def release_background(connection: AsyncConnection, run_id: str) -> None:
    """Nobody runs it any more: have it sent again now."""
    await connection.execute(_RELEASE, (run_id,))
    await tell_runs(connection, [run_id])


async def end_early(connection: AsyncConnection, end: EarlyEnd) -> None:
    """Make the end of a run durable that has no outcome to commit."""
    failure = {"code": end.code, "message": end.message} if end.code else None
    values = end._asdict() | {"status": end.status, "failure": failure and Jsonb(failure)}
    values["step_id"] = new_id("step") if end.model else None
    if end.code:
        values["request_key"] = f"failed:{end.run_id}"
    await connection.execute(_END_EARLY, values)
    await tell_runs(connection, [end.run_id])


async def delete_old_events(connection: AsyncConnection, age_s: float) -> int:
    """Forget the events of runs that ended longer ago than this; returns how many."""
    cursor = await connection.execute(
        "DELETE FROM run_events WHERE run_id IN (SELECT run_id FROM background_runs "
        "WHERE ended_at < now() - make_interval(secs => %s))",
        (age_s,),
    )
    return cursor.rowcount


async def tell_runs(connection: AsyncConnection, run_ids: Sequence[str]) -> None:
    """Announce that these runs were begun, have lost their runner, or have ended."""
    await connection.execute(_NOTIFY, (CHANNEL_RUNS, list(run_ids)))
