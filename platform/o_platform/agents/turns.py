"""What turns open with: agents and conversations as instances see them.

Plain psycopg, since this is the hot path; an agent is loaded by one statement, as JSON. What is
sealed at rest is opened here, and sealed where it is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from o_contracts.ids import is_conversation
from o_contracts.messages import AgentContext, AgentNotes, Block, Message, ToolSpec
from o_platform.agents.document_blocks import ReadFolder, document_blocks
from o_platform.agents.document_repository import SQL_FOLDERS, opened_window
from o_platform.db.sealed_columns import BLOCK_VALUE, MESSAGE_BODY, SECRET_VALUE
from o_platform.db.sealing import Vault
from o_tools.catalogue import specs_of

LONGEST_HISTORY: Final = 500
"""Messages that an instance gets at most."""


class LoadedAgent(NamedTuple):
    """An agent's context, and the lineage whose instances may serve it."""

    lineage: str
    context: AgentContext


StoredBody = tuple[str, Message | str]
"""A message's id, and its body: sealed, or a message from before there were keys."""


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
    added_tools: list[ToolSpec] | None
    mcp_tools: dict[str, ToolSpec] | None
    blocks: list[Block]
    folders: list[ReadFolder] | None
    messages: list[StoredBody]
    message_count: int
    conversation_id: str
    summary: StoredBody | None
    window_limit: int | None
    compaction: dict[str, Any] | None
    group_id: str | None
    forgets: bool | None
    notes: AgentNotes | None


_context_rows = msgspec.json.Decoder(_ContextRow)
_messages = msgspec.json.Decoder(Message)

_OF_AGENT = f"""
SELECT json_build_object(
  'lineage', a.lineage, 'agent_id', a.id, 'version', a.version, 'name', a.name,
  'agent_type', a.agent_type, 'system', a.system, 'model', a.model,
  'model_settings', a.model_settings, 'timezone', a.timezone, 'tool_rules', a.tool_rules,
  'tools', a.tools,
  'added_tools', (
    SELECT json_agg(json_build_object(
      'name', t.name, 'description', t.description,
      'parameters', t.json_schema -> 'parameters', 'home', 'instance',
      'code', json_build_object(
        'source', t.code, 'entry', t.entry, 'tier', t.tier, 'language', t.language,
        'grants', t.grants,
        'return_chars', t.return_char_limit)))
    FROM tools t WHERE t.name = ANY (a.tools)),
  'mcp_tools', (
    SELECT json_object_agg(t.id, json_build_object(
      'name', t.name, 'description', t.description, 'parameters', t.parameters))
    FROM mcp_tools t WHERE t.id = ANY (a.tools)),
  'blocks', (
    SELECT coalesce(json_agg(json_build_object(
      'id', b.id, 'label', ab.label, 'value', b.value, 'limit', b.char_limit,
      'description', b.description, 'read_only', b.read_only, 'version', b.version
    ) ORDER BY ab.position), '[]')
    FROM agent_blocks ab JOIN blocks b ON b.id = ab.block_id WHERE ab.agent_id = a.id),
  {SQL_FOLDERS.strip()}
  'messages', (
    SELECT coalesce(json_agg(json_build_array(m.id, m.body) ORDER BY m.seq), '[]') FROM (
      SELECT seq, id, body FROM messages WHERE agent_id = a.id AND conversation_id IS NULL
        AND (w.start_seq IS NULL OR (seq >= w.start_seq AND type <> 'summary_message'))
      ORDER BY seq DESC LIMIT CASE WHEN starts_with(a.model, 'o/') THEN %s ELSE %s END) m),
  'message_count', a.message_count,
  'summary', (
    SELECT json_build_array(id, body) FROM messages WHERE id = w.summary_id),
  'window_limit', (a.config ->> 'context_window_limit')::int,
  'compaction', a.config -> 'compaction_settings',
  'forgets', (a.config ->> 'message_buffer_autoclear')::boolean,
  'group_id', CASE WHEN a.config @> '{{"enable_sleeptime": true}}' THEN (
    SELECT id FROM groups WHERE manager_id = a.id) END,
  'notes', CASE WHEN EXISTS (
    SELECT FROM tools t WHERE t.name = ANY (a.tools) AND 'agent.read' = ANY (t.grants))
    THEN json_build_object(
      'description', a.description, 'tags', a.tags, 'metadata', coalesce(a.metadata, '{{}}')) END,
  'conversation_id', ''
)::text FROM agents a LEFT JOIN windows w ON w.thread_id = a.id WHERE a.id = %s
"""  # noqa: S608 — made of constants
_OF_CONVERSATION = (
    _OF_AGENT.replace("'version', a.version", "'version', a.version + c.version")
    .replace("a.message_count", "c.message_count")
    .replace("'model', a.model,", "'model', coalesce(c.model, a.model),")
    .replace("starts_with(a.model,", "starts_with(coalesce(c.model, a.model),")
    .replace(
        "(a.config ->> 'context_window_limit')::int",
        "coalesce(c.context_window_limit, (a.config ->> 'context_window_limit')::int)",
    )
    .replace("a.model_settings,", "coalesce(c.model_settings, a.model_settings),")
    .replace("agent_id = a.id AND conversation_id IS NULL", "conversation_id = c.id")
    .replace("'conversation_id', ''", "'conversation_id', c.id")
    .replace(
        "FROM agents a LEFT JOIN windows w ON w.thread_id = a.id WHERE a.id",
        "FROM conversations c JOIN agents a ON a.id = c.agent_id "
        "LEFT JOIN windows w ON w.thread_id = c.id WHERE c.id",
    )
)
"""The same of a conversation: a version of its own on top of the agent's, and its own model."""

_BEGIN_WINDOW = """
INSERT INTO windows (thread_id, agent_id, summary_id, start_seq)
SELECT %(thread)s, %(agent)s, %(summary)s, coalesce(
  (SELECT seq FROM messages WHERE id = %(kept)s),
  (SELECT max(seq) + 1 FROM messages WHERE agent_id = %(agent)s), 0)
ON CONFLICT (thread_id) DO UPDATE SET
  summary_id = excluded.summary_id, updated_at = now(),
  start_seq = greatest(windows.start_seq, excluded.start_seq)
"""

_SEARCHABLE = """
SELECT
  (SELECT count(*) FROM passages WHERE archive_id IN (
    SELECT id FROM archives WHERE owner_id = %s
    UNION SELECT archive_id FROM agent_archives WHERE agent_id = %s)),
  (SELECT count(*) FROM messages WHERE agent_id = %s)
"""


async def load_agent(
    connection: AsyncConnection, vault: Vault, thread_id: str, history: int
) -> LoadedAgent | None:
    """The context of an agent, or of a conversation, if there is any.

    It has the newest `history` messages when the model is a built-in one, else `LONGEST_HISTORY`;
    when a summary stands for the beginning, only messages after that. Its `context_window` is what
    the agent is limited to, 0 if it is not.
    """
    query = _OF_CONVERSATION if is_conversation(thread_id) else _OF_AGENT
    values = (history, LONGEST_HISTORY, thread_id)
    cursor = await connection.execute(query, values, prepare=True)
    found = await cursor.fetchone()
    if found is None:
        return None
    row = _context_rows.decode(found[0])
    summary = opened_messages(vault, [row.summary] if row.summary is not None else [])
    context = AgentContext(
        agent_id=row.agent_id,
        version=row.version,
        name=row.name,
        agent_type=row.agent_type,
        system=sys.intern(row.system),  # as most agents have the same
        model=row.model,
        model_settings=row.model_settings,
        blocks=_blocks(vault, row),
        tools=_specs(row.tools, row.added_tools, row.mcp_tools),
        messages=[*summary, *opened_messages(vault, row.messages)],
        earlier_messages=row.message_count - len(row.messages) - len(summary),
        timezone=row.timezone,
        tool_rules=row.tool_rules,
        conversation_id=row.conversation_id,
        context_window=row.window_limit or 0,
        compaction=row.compaction or {},
        group_id=row.group_id or "",
        forgets=bool(row.forgets),
        notes=row.notes,
    )
    return LoadedAgent(row.lineage, context)


async def begin_window(
    connection: AsyncConnection, agent_id: str, thread_id: str, summary_id: str, first_kept: str
) -> None:
    """Let a thread's window begin with this summary, then with the message `first_kept`.

    An empty `first_kept` keeps none of the messages there are. A window never begins earlier than
    it did.
    """
    values = {
        "agent": agent_id,
        "thread": thread_id,
        "summary": summary_id,
        "kept": first_kept,
    }
    await connection.execute(_BEGIN_WINDOW, values)


async def count_searchable(connection: AsyncConnection, agent_id: str) -> tuple[int, int]:
    """How many passages and messages the agent can search."""
    cursor = await connection.execute(_SEARCHABLE, (agent_id, agent_id, agent_id))
    row = await cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


async def fetch_secrets(connection: AsyncConnection, vault: Vault, agent_id: str) -> dict[str, str]:
    """The agent's secrets by name."""
    query = "SELECT name, value FROM agent_secrets WHERE agent_id = %s"
    cursor = await connection.execute(query, (agent_id,))
    return {
        name: str(SECRET_VALUE.opened(vault, value, agent_id, name)) async for name, value in cursor
    }


def _blocks(vault: Vault, row: _ContextRow) -> list[Block]:
    own = opened_blocks(vault, row.blocks)
    if not row.folders:
        return own
    folders = [
        msgspec.structs.replace(
            folder,
            files=[
                opened_window(vault, file, folder.window_chars) if file.is_open else file
                for file in folder.files
            ],
        )
        for folder in row.folders
    ]
    return [*own, *document_blocks(folders, {block.label for block in own})]


def _specs(
    names: list[str], added: list[ToolSpec] | None, of_servers: dict[str, ToolSpec] | None
) -> list[ToolSpec]:
    if not added and not of_servers:
        return specs_of(names)
    by_name = {spec.name: spec for spec in [*specs_of(names), *(added or [])]}
    by_name |= of_servers or {}
    return [by_name[name] for name in names if name in by_name]


def opened_blocks(vault: Vault, blocks: Iterable[Block]) -> list[Block]:
    """The blocks as they were before they were stored."""
    return [
        msgspec.structs.replace(block, value=BLOCK_VALUE.opened(vault, block.value, block.id))
        for block in blocks
    ]


def opened_messages(vault: Vault, bodies: Iterable[StoredBody]) -> list[Message]:
    """The messages as they were before they were stored."""
    return [
        _messages.decode(vault.open(body, MESSAGE_BODY.place(message_id)))
        if isinstance(body, str)
        else body
        for message_id, body in bodies
    ]
