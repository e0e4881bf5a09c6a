"""The SQL of turns: one statement to load an agent, one to make a whole batch of turns durable.

Plain psycopg, since this is the hot path. A batch travels as one JSON document, and PostgreSQL
takes it apart: run, steps, messages and the agent's new version of every turn in one statement,
which is its own transaction. It joins nothing but agents by their key, so that a plan made while
the tables were empty stays right; a batch with a request that has a run, or with an agent that is
gone, fails as a whole (they are rare) and its turns are written alone. Turns with memory edits need
`turn_edits` around it, in one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.errors import ForeignKeyViolation, UniqueViolation
from psycopg.types.json import Jsonb

from o_contracts.bridge import FinishedTurn, StepRecord
from o_contracts.messages import AgentContext, Block, Message, StopReason, Usage
from o_tools.catalogue import specs_of

REPEAT_WINDOW_S: Final = 60
"""How long after its end a run answers an SDK's retry that has no other name for it."""

_ONE_RUN: Final = "uq_runs_agent_id_request_key"
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


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
    messages: list[Message]
    steps: list[StepRecord]


class LoadedAgent(NamedTuple):
    """An agent's context, and the lineage whose instances may serve it."""

    lineage: str
    context: AgentContext


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
    """What earlier attempts of a request left: its run, or what they paid for before they ended."""

    finished: FinishedRun | None = None
    journal: Sequence[JournalRow] = ()


class _ContextRow(Struct):
    lineage: str
    agent_id: str
    version: int
    name: str
    agent_type: str
    system: str
    model: str
    model_settings: dict[str, Any]
    timezone: str
    tool_rules: list[dict[str, Any]]
    tools: list[str]
    blocks: list[Block]
    messages: list[Message]
    message_count: int


class _RunRow(Struct):
    run_id: str
    messages: list[Message]
    stop_reason: StopReason
    usage: Usage
    step_count: int


_records = msgspec.json.Encoder()
_context_rows = msgspec.json.Decoder(_ContextRow)
_run_rows = msgspec.json.Decoder(_RunRow)
_journal_rows = msgspec.json.Decoder(list[JournalRow])

_COMMIT = """
WITH turn AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%s) AS t(
    run_id text, agent_id text, request_key text, body_digest text, status text, stop_reason text,
    variant text, instance_id text, client text, prompt_tokens int, completion_tokens int,
    cached_input_tokens int, reasoning_tokens int, step_count int, duration_us bigint,
    journaled boolean, messages jsonb, steps jsonb)
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
  INSERT INTO messages (id, agent_id, run_id, type, body)
  SELECT m.body ->> 'id', turn.agent_id, turn.run_id, m.body ->> 'type', m.body
  FROM turn CROSS JOIN LATERAL
    jsonb_array_elements(turn.messages) WITH ORDINALITY AS m(body, place)
  ORDER BY turn.run_id, m.place
), step AS (
  INSERT INTO steps (
    id, run_id, model, prompt_tokens, completion_tokens, stop_reason, llm_us, tool_us)
  SELECT
    s.body ->> 'id', turn.run_id, s.body ->> 'model',
    (s.body #>> '{usage,prompt_tokens}')::int, (s.body #>> '{usage,completion_tokens}')::int,
    s.body ->> 'stop_reason', coalesce((s.body ->> 'llm_us')::bigint, 0),
    coalesce((s.body ->> 'tool_us')::bigint, 0)
  FROM turn CROSS JOIN LATERAL jsonb_array_elements(turn.steps) AS s(body)
), journal_end AS (
  DELETE FROM journal USING turn
  WHERE turn.journaled AND journal.agent_id = turn.agent_id
    AND journal.request_key = turn.request_key
)
UPDATE agents SET
  version = agents.version + 1, last_run_at = now(),
  last_run_ms = turn.duration_us / 1000.0, last_stop_reason = turn.stop_reason
FROM turn WHERE agents.id = turn.agent_id
RETURNING turn.run_id, agents.version
"""

_CONTEXT = """
SELECT json_build_object(
  'lineage', a.lineage, 'agent_id', a.id, 'version', a.version, 'name', a.name,
  'agent_type', a.agent_type, 'system', a.system, 'model', a.model,
  'model_settings', a.model_settings, 'timezone', a.timezone, 'tool_rules', a.tool_rules,
  'tools', a.tools,
  'blocks', (
    SELECT coalesce(json_agg(json_build_object(
      'id', b.id, 'label', ab.label, 'value', b.value, 'limit', b.char_limit,
      'description', b.description, 'read_only', b.read_only, 'version', b.version
    ) ORDER BY ab.position), '[]')
    FROM agent_blocks ab JOIN blocks b ON b.id = ab.block_id WHERE ab.agent_id = a.id),
  'messages', (
    SELECT coalesce(json_agg(m.body ORDER BY m.seq), '[]') FROM (
      SELECT seq, body FROM messages WHERE agent_id = a.id ORDER BY seq DESC LIMIT %s) m),
  'message_count', (SELECT count(*) FROM messages WHERE agent_id = a.id)
)::text FROM agents a WHERE a.id = %s
"""

_FINISHED = """
SELECT json_build_object(
  'run_id', r.id, 'stop_reason', r.stop_reason, 'step_count', r.step_count,
  'usage', json_build_object(
    'prompt_tokens', r.prompt_tokens, 'completion_tokens', r.completion_tokens,
    'cached_input_tokens', r.cached_input_tokens, 'reasoning_tokens', r.reasoning_tokens),
  'messages', (
    SELECT coalesce(json_agg(m.body ORDER BY m.seq), '[]') FROM messages m WHERE m.run_id = r.id)
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


async def commit_turns(connection: AsyncConnection, turns: Sequence[TurnRecord]) -> dict[str, int]:
    """Make the turns durable, all or none; at most one turn per agent.

    Outside a transaction block this is one transaction of its own.

    Returns:
        The agent's new version by run id.

    Raises:
        DuplicateRunError: a request has a run already (`fetch_finished`).
        AgentGoneError: an agent was deleted.
        psycopg.Error: the batch cannot be written; or, when the connection broke, it may have
            been: write it again.
    """
    document = Jsonb(turns, dumps=_encode)
    try:
        cursor = await connection.execute(_COMMIT, (document,), prepare=True)
    except UniqueViolation as error:
        if error.diag.constraint_name == _ONE_RUN:
            raise DuplicateRunError(str(error)) from error
        raise
    except ForeignKeyViolation as error:
        raise AgentGoneError(str(error)) from error
    return {run_id: version for run_id, version in await cursor.fetchall()}


async def load_agent(
    connection: AsyncConnection, agent_id: str, history: int
) -> LoadedAgent | None:
    """The agent's context with its newest `history` messages, or None if there is no such agent."""
    cursor = await connection.execute(_CONTEXT, (history, agent_id), prepare=True)
    found = await cursor.fetchone()
    if found is None:
        return None
    row = _context_rows.decode(found[0])
    context = AgentContext(
        agent_id=row.agent_id,
        version=row.version,
        name=row.name,
        agent_type=row.agent_type,
        system=row.system,
        model=row.model,
        model_settings=row.model_settings,
        blocks=row.blocks,
        tools=specs_of(row.tools),
        messages=row.messages,
        earlier_messages=row.message_count - len(row.messages),
        timezone=row.timezone,
        tool_rules=row.tool_rules,
    )
    return LoadedAgent(row.lineage, context)


async def fetch_finished(
    connection: AsyncConnection, agent_id: str, request_key: str
) -> FinishedRun | None:
    """The run of this request, if it came to an end."""
    cursor = await connection.execute(_FINISHED, (agent_id, request_key), prepare=True)
    found = await cursor.fetchone()
    return _finished_run(found[0]) if found else None


async def find_repeated(
    connection: AsyncConnection, agent_id: str, client: str, body_digest: str
) -> str | None:
    """Request key of the newest run of the same client, agent and body in the last minute."""
    values = (agent_id, client, body_digest, REPEAT_WINDOW_S)
    cursor = await connection.execute(_REPEATED, values)
    found = await cursor.fetchone()
    return found[0] if found else None


async def fetch_past(connection: AsyncConnection, agent_id: str, request_key: str) -> Past:
    """What earlier attempts of this request left."""
    cursor = await connection.execute(_PAST, (agent_id, request_key) * 2, prepare=True)
    row = await cursor.fetchone()
    run, journal = row if row is not None else (None, None)
    return Past(
        _finished_run(run) if run else None,
        _journal_rows.decode(journal) if journal else (),
    )


async def write_journal(
    connection: AsyncConnection, agent_id: str, request_key: str, row: JournalRow
) -> None:
    """Keep a paid or outside effect until its run ends; replaces one with the same kind and seq."""
    values = (agent_id, request_key, row.kind, row.seq, row.digest, row.result)
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


def _finished_run(document: str) -> FinishedRun:
    row = _run_rows.decode(document)
    turn = FinishedTurn(row.messages, row.stop_reason, row.usage, row.step_count)
    return FinishedRun(row.run_id, turn)


def _encode(turns: Sequence[TurnRecord]) -> bytes:
    document = _records.encode(turns)
    if b"\\u0000" in document:
        # PostgreSQL's text cannot hold NUL; a turn must not be lost for it.
        document = _NUL.sub(rb"\1\\ufffd", document)
    return document
