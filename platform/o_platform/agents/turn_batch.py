"""Makes batches of turns durable, each turn whole or absent.

A batch travels as one JSON document, and PostgreSQL takes it apart: run, steps, messages and the
agent's new version of every turn in one statement, which is its own transaction. It joins nothing
but agents by their key, so that a plan made while the tables were empty stays right. A batch with a
request that has a run, or with an agent that is gone, fails as a whole (they are rare); then its
turns are to be written alone. Turns with memory edits need `turn_edits` in the same transaction.

The statement sees to its references itself: it locks every agent by updating it, and fails if one
is missing; steps and messages come with their run. So a `TurnWriter` has PostgreSQL leave out its
own check of each row against its agent and run, which takes a fifth of the whole statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
import psycopg
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.errors import (
    DivisionByZero,
    ForeignKeyViolation,
    InsufficientPrivilege,
    UniqueViolation,
)
from psycopg.types.json import Jsonb

from o_contracts.bridge import StepRecord
from o_contracts.messages import StopReason
from o_platform.agents.prepared import PreparedStatement
from o_platform.agents.stored_messages import NUL, StoredMessage

BATCH_OPTIONS: Final = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
)
"""For connections of a `TurnWriter`: the plan must look agents up, whatever the statistics say."""

_ONE_RUN: Final = "uq_runs_agent_id_request_key"
_REFUSALS: Final = (UniqueViolation, ForeignKeyViolation, DivisionByZero)
_records = msgspec.json.Encoder()


class DuplicateRunError(Exception):
    """A request of the batch has a run already."""


class AgentGoneError(Exception):
    """An agent of the batch does not exist any more."""


class TurnRecord(Struct, frozen=True):
    """A turn as it is written: its run, its messages in order and its steps."""

    run_id: str
    agent_id: str
    request_key: str
    body_digest: str
    status: str
    stop_reason: StopReason
    variant: str
    instance_id: str
    client: str
    prompt_tokens: int
    completion_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    step_count: int
    duration_us: int
    journaled: bool
    messages: list[StoredMessage]
    steps: list[StepRecord]


class ThreadTurnRecord(TurnRecord, frozen=True, kw_only=True):
    """A turn of a conversation, or one in the background. `edited`: it changed memory."""

    conversation_id: str | None
    background: bool
    edited: bool


_COMMIT = """
WITH turn AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($1) AS t(
    run_id text, agent_id text, request_key text, body_digest text, status text, stop_reason text,
    variant text, instance_id text, client text, prompt_tokens int, completion_tokens int,
    cached_input_tokens int, reasoning_tokens int, step_count int, duration_us bigint,
    journaled boolean, messages jsonb, steps jsonb)
), agent AS (
  UPDATE agents SET
    version = agents.version + 1, last_run_at = now(),
    message_count = agents.message_count + jsonb_array_length(turn.messages),
    last_run_ms = turn.duration_us / 1000.0, last_stop_reason = turn.stop_reason
  FROM turn WHERE agents.id = turn.agent_id
  RETURNING turn.run_id, agents.version
), run AS (
  INSERT INTO runs (
    id, agent_id, request_key, status, stop_reason, variant, instance_id, client, body_digest,
    prompt_tokens, completion_tokens, cached_input_tokens, reasoning_tokens, step_count,
    duration_us)
  SELECT
    run_id, agent_id, request_key, status, stop_reason, variant, instance_id, client, body_digest,
    prompt_tokens, completion_tokens, cached_input_tokens, reasoning_tokens, step_count,
    duration_us
  FROM turn
), message AS (
  INSERT INTO messages (id, agent_id, run_id, type, tool, body)
  SELECT m.entry ->> 'id', turn.agent_id, turn.run_id, m.entry ->> 'type', m.entry ->> 'tool',
    m.entry -> 'body'
  FROM turn CROSS JOIN LATERAL
    jsonb_array_elements(turn.messages) WITH ORDINALITY AS m(entry, place)
  ORDER BY turn.run_id, m.place
), step AS (
  INSERT INTO steps (
    id, run_id, model, prompt_tokens, completion_tokens, cached_input_tokens, reasoning_tokens,
    stop_reason, llm_us, tool_us, sandbox_us, created_at)
  SELECT
    s.body ->> 'id', turn.run_id, s.body ->> 'model',
    (s.body #>> '{usage,prompt_tokens}')::int, (s.body #>> '{usage,completion_tokens}')::int,
    (s.body #>> '{usage,cached_input_tokens}')::int, (s.body #>> '{usage,reasoning_tokens}')::int,
    s.body ->> 'stop_reason', coalesce((s.body ->> 'llm_us')::bigint, 0),
    coalesce((s.body ->> 'tool_us')::bigint, 0),
    coalesce((s.body ->> 'sandbox_us')::bigint, 0),
    now() + (s.place - 1) * interval '1 microsecond'
  FROM turn CROSS JOIN LATERAL
    jsonb_array_elements(turn.steps) WITH ORDINALITY AS s(body, place)
), journal_end AS (
  DELETE FROM journal USING turn
  WHERE turn.journaled AND journal.agent_id = turn.agent_id
    AND journal.request_key = turn.request_key
)
SELECT agent.run_id, agent.version, batch.complete
FROM (
  SELECT 1 / ((SELECT count(*) FROM agent) = (SELECT count(*) FROM turn))::int AS complete
) AS batch LEFT JOIN agent ON true
"""
"""A missing agent makes it divide by zero, so that nothing of the batch is written. Listings are in
the order of `created_at`, so a run's steps have one each, a microsecond apart.
"""


def _varied(query: str, *changes: tuple[str, str]) -> str:
    """The query with each change made.

    Raises:
        ValueError: a change does not fit the query any more.
    """
    for old, new in changes:
        if old not in query:
            raise ValueError(f"the query has no {old!r} to vary")
        query = query.replace(old, new)
    return query


_COMMIT_THREADS: Final = _varied(
    _COMMIT,
    (
        "messages jsonb, steps jsonb)\n),",
        "messages jsonb, steps jsonb, conversation_id text, background boolean, edited boolean)\n"
        "), conversation AS (\n"
        "  UPDATE conversations SET\n"
        "    version = conversations.version + 1, last_message_at = now(),\n"
        "    message_count = conversations.message_count + jsonb_array_length(turn.messages)\n"
        "  FROM turn WHERE conversations.id = turn.conversation_id\n"
        "  RETURNING conversations.id, conversations.version\n"
        "),",
    ),
    (
        "version = agents.version + 1,",
        "version = agents.version + CASE\n"
        "      WHEN turn.conversation_id IS NULL OR turn.edited THEN 1 ELSE 0 END,",
    ),
    (
        "agents.message_count + jsonb_array_length(turn.messages),",
        "agents.message_count + CASE\n"
        "      WHEN turn.conversation_id IS NULL THEN jsonb_array_length(turn.messages)\n"
        "      ELSE 0 END,",
    ),
    (
        "FROM turn WHERE agents.id = turn.agent_id\n  RETURNING turn.run_id, agents.version\n",
        "FROM turn LEFT JOIN conversation ON conversation.id = turn.conversation_id\n"
        "  WHERE agents.id = turn.agent_id\n"
        "    AND (conversation.id IS NOT NULL OR turn.conversation_id IS NULL)\n"
        "  RETURNING turn.run_id, agents.version + coalesce(conversation.version, 0) AS version\n",
    ),
    ("    duration_us)\n  SELECT", "    duration_us, conversation_id, background)\n  SELECT"),
    (
        "    duration_us\n  FROM turn",
        "    duration_us, conversation_id, coalesce(background, false)\n  FROM turn",
    ),
    (
        "INSERT INTO messages (id, agent_id, run_id, type, tool, body)\n  SELECT",
        "INSERT INTO messages (conversation_id, id, agent_id, run_id, type, tool, body)\n"
        "  SELECT turn.conversation_id,",
    ),
    (
        "), journal_end AS (",
        "), background_end AS (\n"
        "  UPDATE background_runs SET ended_at = now(), next_try_at = now(), body = NULL\n"
        "  FROM turn WHERE turn.background AND background_runs.run_id = turn.run_id\n"
        "), journal_end AS (",
    ),
    (
        "journal.agent_id = turn.agent_id",
        "journal.agent_id = coalesce(turn.conversation_id, turn.agent_id)",
    ),
)
"""The same for conversations and background runs; a statement of its own, so that all other turns
pay nothing for them. A conversation's turn makes a new version of the conversation, and of the
agent only if it changed memory, which other conversations see. A conversation that is gone counts
as its agent being gone."""


class TurnWriter:
    """Writes batches over a connection of its own, in autocommit mode and with `BATCH_OPTIONS`."""

    def __init__(self, connection: AsyncConnection, *, threads: bool = False) -> None:
        """Made by `on`, from a connection that is used for nothing else from now on."""
        self._statement = PreparedStatement(connection, _COMMIT_THREADS if threads else _COMMIT)

    @classmethod
    async def on(cls, connection: AsyncConnection, *, threads: bool = False) -> TurnWriter:
        """A writer on this connection; without the row checks, if its role may leave them out.

        `threads`: for `ThreadTurnRecord`s.

        Raises:
            psycopg.OperationalError: the connection broke.
        """
        with suppress(InsufficientPrivilege):
            await connection.execute("SET session_replication_role = replica")
        return cls(connection, threads=threads)

    async def write(self, turns: Sequence[TurnRecord]) -> dict[str, int]:
        """Make the turns durable, all or none; at most one turn per agent.

        Returns:
            The agent's new version by run id.

        Raises:
            DuplicateRunError: a request has a run already (`fetch_finished`).
            AgentGoneError: an agent was deleted.
            psycopg.Error: the batch cannot be written; or, when the connection broke, it may have
                been: write it again.
        """
        try:
            rows = await self._statement.execute(_encode(turns))
        except _REFUSALS as error:
            raise _told_apart(error) from error
        return {run_id.decode(): int(version) for run_id, version, _ in rows}

    async def close(self) -> None:
        """Close the connection."""
        await self._statement.close()


async def commit_turns(connection: AsyncConnection, turns: Sequence[TurnRecord]) -> dict[str, int]:
    """Make the turns durable, all or none; at most one turn per agent.

    For use inside a transaction; `TurnWriter` is the fast way outside of one.

    Returns:
        The agent's new version by run id.

    Raises:
        DuplicateRunError: a request has a run already (`fetch_finished`).
        AgentGoneError: an agent was deleted.
        psycopg.Error: the batch cannot be written.
    """
    document = Jsonb(turns, dumps=_encode)
    try:
        threads = any(isinstance(turn, ThreadTurnRecord) for turn in turns)
        query = _COMMIT_THREADS if threads else _COMMIT
        cursor = await connection.execute(query.replace("$1", "%s"), (document,))
    except _REFUSALS as error:
        raise _told_apart(error) from error
    return {run_id: version for run_id, version, _ in await cursor.fetchall()}


def _told_apart(error: psycopg.Error) -> Exception:
    if isinstance(error, (DivisionByZero, ForeignKeyViolation)):
        return AgentGoneError("an agent of the batch does not exist any more")
    return DuplicateRunError(str(error)) if error.diag.constraint_name == _ONE_RUN else error


def _encode(turns: Sequence[TurnRecord]) -> bytes:
    document = _records.encode(turns)
    if b"\\u0000" in document:
        # PostgreSQL's text cannot hold NUL; a turn must not be lost for it.
        document = NUL.sub(rb"\1\\ufffd", document)
    return document
