"""What earlier attempts of a turn left: its run, if it ended, or a journal of what they paid for.

Plain psycopg, since this is the hot path. What is sealed at rest is opened here; so are the
journal's results sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from o_contracts.bridge import FinishedTurn
from o_contracts.ids import is_conversation
from o_contracts.messages import StopReason, Usage
from o_platform.agents.turns import StoredBody, opened_messages
from o_platform.db.sealing import Place, Vault, place

REPEAT_WINDOW_S: Final = 60
"""How long after its end a run answers an SDK's retry that has no other name for it."""


class FinishedRun(NamedTuple):
    """A run that came to an end, as it answers a repeated request."""

    run_id: str
    turn: FinishedTurn


class JournalRow(NamedTuple):
    """One paid or outside effect of a run that has not ended."""

    kind: str
    seq: int
    digest: str
    result: bytes


class Past(NamedTuple):
    """What earlier attempts of a request left: its run, or what they paid for before they ended.

    `run_id` is the id that a background run has before it ends.
    """

    finished: FinishedRun | None = None
    journal: Sequence[JournalRow] = ()
    run_id: str | None = None


class _RunRow(Struct):
    run_id: str
    messages: list[StoredBody]
    stop_reason: StopReason
    usage: Usage
    step_count: int


_run_rows = msgspec.json.Decoder(_RunRow)
_journal_rows = msgspec.json.Decoder(list[JournalRow])

_FINISHED = """
SELECT json_build_object(
  'run_id', r.id, 'stop_reason', r.stop_reason, 'step_count', r.step_count,
  'usage', json_build_object(
    'prompt_tokens', r.prompt_tokens, 'completion_tokens', r.completion_tokens,
    'cached_input_tokens', r.cached_input_tokens, 'reasoning_tokens', r.reasoning_tokens),
  'messages', (
    SELECT coalesce(json_agg(json_build_array(m.id, m.body) ORDER BY m.seq), '[]')
    FROM messages m WHERE m.run_id = r.id)
)::text FROM runs r WHERE r.agent_id = %s AND r.request_key = %s
"""

_PAST = f"""
SELECT ({_FINISHED.strip()}), (
  SELECT json_agg(json_build_array(
    kind, seq, digest, translate(encode(result, 'base64'), E'\\n', '')))::text
  FROM journal WHERE agent_id = %s AND request_key = %s)
"""  # noqa: S608 — made of constants

_REPEATED = """
SELECT request_key FROM runs
WHERE agent_id = %s AND client = %s AND body_digest = %s
  AND created_at > now() - make_interval(secs => %s)
ORDER BY created_at DESC LIMIT 1
"""

_JOURNAL_WRITE = """
INSERT INTO journal (agent_id, request_key, kind, seq, digest, result)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (agent_id, request_key, kind, seq)
DO UPDATE SET digest = excluded.digest, result = excluded.result, created_at = now()
"""


async def agent_of(connection: AsyncConnection, thread_id: str) -> str:
    """The agent of a thread; the thread's own id if it is an agent, or nothing."""
    if not is_conversation(thread_id):
        return thread_id
    cursor = await connection.execute(
        "SELECT agent_id FROM conversations WHERE id = %s", (thread_id,)
    )
    found = await cursor.fetchone()
    return found[0] if found else thread_id


async def fetch_finished(
    connection: AsyncConnection, vault: Vault, agent_id: str, request_key: str
) -> FinishedRun | None:
    """The run of this request, if it came to an end."""
    cursor = await connection.execute(_FINISHED, (agent_id, request_key), prepare=True)
    found = await cursor.fetchone()
    return _finished_run(vault, found[0]) if found else None


async def find_repeated(
    connection: AsyncConnection, agent_id: str, client: str, body_digest: str
) -> str | None:
    """Request key of the newest run of the same client, agent and body in the last minute."""
    values = (agent_id, client, body_digest, REPEAT_WINDOW_S)
    cursor = await connection.execute(_REPEATED, values)
    found = await cursor.fetchone()
    return found[0] if found else None


async def fetch_past(
    connection: AsyncConnection, vault: Vault, thread_id: str, request_key: str
) -> Past:
    """What earlier attempts of this request left."""
    agent_id = await agent_of(connection, thread_id)
    names = (agent_id, request_key, thread_id, request_key)
    cursor = await connection.execute(_PAST, names, prepare=True)
    row = await cursor.fetchone()
    run, journal = row if row is not None else (None, None)
    return Past(
        _finished_run(vault, run) if run else None,
        _opened_journal(vault, thread_id, request_key, journal) if journal else (),
    )


async def write_journal(
    connection: AsyncConnection, vault: Vault, thread_id: str, request_key: str, row: JournalRow
) -> None:
    """Keep a paid or outside effect until its run ends; replaces one with the same kind and seq."""
    result = vault.seal_bytes(row.result, _journal_place(thread_id, request_key, row))
    values = (thread_id, request_key, row.kind, row.seq, row.digest, result)
    await connection.execute(_JOURNAL_WRITE, values)


async def delete_old_journal(connection: AsyncConnection, age_s: float) -> int:
    """Forget what runs left that never ended and were never asked for again; returns how many."""
    cursor = await connection.execute(
        "DELETE FROM journal WHERE created_at < now() - make_interval(secs => %s)", (age_s,)
    )
    return cursor.rowcount


async def next_epoch(connection: AsyncConnection) -> int:
    """A number no bridge had before: the high half of its fencing tokens."""
    cursor = await connection.execute("SELECT nextval('fence_epoch')")
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the sequence fence_epoch gave no value")
    return int(row[0])


def _opened_journal(
    vault: Vault, thread_id: str, request_key: str, document: str
) -> list[JournalRow]:
    return [
        row._replace(
            result=vault.open_bytes(row.result, _journal_place(thread_id, request_key, row))
        )
        for row in _journal_rows.decode(document)
    ]


def _journal_place(thread_id: str, request_key: str, row: JournalRow) -> Place:
    return place("journal", f"{thread_id}/{request_key}/{row.kind}/{row.seq}", "result")


def _finished_run(vault: Vault, document: str) -> FinishedRun:
    row = _run_rows.decode(document)
    turn = FinishedTurn(
        opened_messages(vault, row.messages), row.stop_reason, row.usage, row.step_count
    )
    return FinishedRun(row.run_id, turn)
