"""Agents of a retired server's database are taken over: read-only, whole, and again if need be.

The tables are those that operators of the retired server describe in public (issues, articles): an
agent's rows with its models as JSON, messages by role with content parts, links of agents to
blocks, tools and archives.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from letta_client import Letta
from psycopg import sql
from tests.integration.miscounted import MISCOUNTED

from o_platform.cli.control_api import ControlApi
from o_platform.cli.letta_database import opened
from o_platform.cli.letta_import import LettaImport
from o_platform.errors import SetupError

pytestmark = pytest.mark.contract
AGENTS, TURNS = 6, 200
DOUBLE = '''
def double(n: int) -> int:
    """Double a number.

    Args:
        n: the number
    """
    return 2 * n
'''
_SCHEMA = """
CREATE TABLE agents (id text PRIMARY KEY, name text, agent_type text, system text, description text,
  metadata_ json, llm_config json, embedding_config json, tool_rules json, message_ids json,
  timezone text, message_buffer_autoclear boolean, is_deleted boolean DEFAULT false,
  created_at timestamptz DEFAULT now());
CREATE TABLE agents_tags (agent_id text, tag text);
CREATE TABLE block (id text PRIMARY KEY, label text, value text, "limit" int, description text,
  read_only boolean, metadata_ json, is_deleted boolean DEFAULT false);
CREATE TABLE blocks_agents (agent_id text, block_id text, block_label text);
CREATE TABLE tools (id text PRIMARY KEY, name text, tool_type text, source_type text,
  source_code text, json_schema json, description text, tags json, return_char_limit int,
  is_deleted boolean DEFAULT false);
CREATE TABLE tools_agents (agent_id text, tool_id text);
CREATE TABLE messages (id text PRIMARY KEY, agent_id text, role text, text text, content json,
  name text, tool_calls json, tool_call_id text, tool_returns json, otid text, step_id text,
  run_id text, conversation_id text, sequence_id bigserial, is_deleted boolean DEFAULT false,
  created_at timestamptz DEFAULT now());
CREATE TABLE conversations (id text PRIMARY KEY, agent_id text, summary text,
  is_deleted boolean DEFAULT false, created_at timestamptz DEFAULT now());
CREATE TABLE runs (id text PRIMARY KEY, agent_id text, conversation_id text, status text,
  stop_reason text, background boolean, is_deleted boolean DEFAULT false, created_at timestamptz,
  completed_at timestamptz);
CREATE TABLE steps (id text PRIMARY KEY, agent_id text, run_id text, model text,
  provider_name text, prompt_tokens int, completion_tokens int, stop_reason text, feedback text,
  tags json, created_at timestamptz DEFAULT now());
CREATE TABLE groups (id text PRIMARY KEY, manager_type text, manager_agent_id text,
  sleeptime_agent_frequency int, is_deleted boolean DEFAULT false);
CREATE TABLE groups_agents (group_id text, agent_id text);
CREATE TABLE archives (id text PRIMARY KEY, name text, description text, embedding_config json,
  is_deleted boolean DEFAULT false);
CREATE TABLE archives_agents (agent_id text, archive_id text);
CREATE TABLE archival_passages (id text PRIMARY KEY, archive_id text, text text, tags json,
  metadata_ json, embedding text, is_deleted boolean DEFAULT false,
  created_at timestamptz DEFAULT now());
"""
_ROLES = """
INSERT INTO messages (id, agent_id, role, content, name, tool_calls, tool_call_id, otid)
SELECT 'message-' || gen_random_uuid(), %(agent)s, role, content, name, calls, call_id, NULL
FROM generate_series(0, %(turns)s) AS turn,
LATERAL (VALUES
  (0, 'system', json_build_array(json_build_object('type', 'text', 'text', 'compiled')), NULL, NULL,
    NULL),
  (1, 'user', json_build_array(json_build_object('type', 'text', 'text', 'question ' || turn)),
    NULL, NULL, NULL),
  (2, 'assistant', json_build_array(), NULL, json_build_array(json_build_object('id',
    'call_' || turn, 'type', 'function', 'function', json_build_object('name', 'send_message',
    'arguments', json_build_object('message', 'answer ' || turn)::text))), NULL),
  (3, 'tool', json_build_array(json_build_object('type', 'text', 'text',
    '{"status": "OK", "message": "Sent."}')), 'send_message', NULL, 'call_' || turn)
) AS said(place, role, content, name, calls, call_id)
WHERE (turn = 0) = (place = 0) ORDER BY turn, place
"""


def name(prefix: str, *parts: object) -> str:
    return f"{prefix}-{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(map(str, (prefix, *parts))))}"


@pytest.fixture
def letta_url(database_url: str) -> Iterator[str]:
    """A database of the retired server, beside ours."""
    home = psycopg.conninfo.conninfo_to_dict(database_url)
    source = f"letta_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(source)))
        url = psycopg.conninfo.make_conninfo(**{**home, "dbname": source})
        with psycopg.connect(url) as filled:
            filled.execute(_SCHEMA)
            _fill(filled)
        yield url
        assert connection.execute(MISCOUNTED).fetchall() == []
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(source)))


def _insert(connection: Any, table: str, **values: Any) -> None:
    held = {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in values.items()}
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, held)),
        sql.SQL(", ").join([sql.Placeholder()] * len(held)),
    )
    connection.execute(query, list(held.values()))


def _fill(c: Any) -> None:
    shared, tool, archive = name("block", "shared"), name("tool", "double"), name("archive", "all")
    _insert(c, "block", id=shared, label="company", value="Acme", limit=500, read_only=True)
    _insert(c, "tools", id=tool, name="double", tool_type="custom", source_code=DOUBLE,
            source_type="python", json_schema={"name": "double"}, tags=["t"])  # fmt: skip
    _insert(c, "tools", id=name("tool", "send"), name="send_message", tool_type="letta_core")
    _insert(c, "archives", id=archive, name="facts", embedding_config={"handle": "o/hash"})
    for number in range(300):
        _insert(c, "archival_passages", id=name("passage", number), archive_id=archive,
                text=f"fact number {number}", tags=["fact"], embedding="[1,2]")  # fmt: skip
    for number in range(AGENTS):
        agent, own = name("agent", number), name("block", number)
        _insert(c, "agents", id=agent, name=f"agent {number}", agent_type="memgpt_agent",
                system="Be kind.", llm_config={"handle": "o/echo", "context_window": 8000},
                embedding_config={"handle": "o/hash"}, timezone="UTC", metadata_={"n": number},
                tool_rules=[{"type": "exit_loop", "tool_name": "send_message"}])  # fmt: skip
        _insert(c, "agents_tags", agent_id=agent, tag=f"tag{number}")
        _insert(c, "block", id=own, label="human", value=f"user {number}", limit=2000)
        for block in (own, shared):
            _insert(c, "blocks_agents", agent_id=agent, block_id=block)
        for one in (tool, name("tool", "send")):
            _insert(c, "tools_agents", agent_id=agent, tool_id=one)
        _insert(c, "archives_agents", agent_id=agent, archive_id=archive)
        c.execute(_ROLES, {"agent": agent, "turns": TURNS})
    _insert(c, "agents", id=name("agent", "gone"), name="gone", is_deleted=True)


def test_every_agent_is_taken_over(letta: Letta, socket: Path, letta_url: str) -> None:
    told: list[str] = []
    with opened(letta_url) as source:
        report = LettaImport(source, ControlApi(socket), tell=told.append).run()
    assert (report.failed, report.notes) == ([], [])
    assert report.counts == {"agents": AGENTS, "messages": AGENTS * TURNS * 3, "passages": 300}
    assert told[-1].startswith(f"{AGENTS} of {AGENTS} agents")

    agent = letta.agents.retrieve(name("agent", 3))
    assert (agent.name, agent.tags, agent.metadata) == ("agent 3", ["tag3"], {"n": 3})
    assert (agent.model, agent.llm_config.context_window) == ("o/echo", 8000)
    assert {b.id: b.value for b in agent.blocks} == {
        name("block", 3): "user 3", name("block", "shared"): "Acme"
    }  # fmt: skip
    assert [tool.name for tool in agent.tools] == ["double", "send_message"]
    said = list(letta.agents.messages.list(agent.id, order="asc", limit=1000))
    assert len(said) == 2 * TURNS
    texts = [m.content for m in said]  # type: ignore[union-attr]
    assert texts[:2] + texts[-2:] == [
        "question 1",
        "answer 1",
        f"question {TURNS}",
        f"answer {TURNS}",
    ]
    holders = {one.id for one in letta.blocks.agents.list(name("block", "shared"))}
    assert len(holders) == AGENTS
    found = letta.agents.passages.search(agent.id, query="fact number 77")
    assert found.results[0].content == "fact number 77"


def test_again_takes_only_what_is_new(letta: Letta, socket: Path, letta_url: str) -> None:
    agent = name("agent", 0)
    with opened(letta_url) as source:
        LettaImport(source, ControlApi(socket)).run()
    letta.agents.update(agent, name="renamed here")
    with psycopg.connect(letta_url) as c:
        said = [{"type": "text", "text": "one more"}]
        _insert(c, "messages", id=name("message", "new"), agent_id=agent, role="user", content=said)
        _insert(c, "agents", id="agent-7", name="odd")
    with opened(letta_url) as source:
        report = LettaImport(source, ControlApi(socket)).run()
    assert report.counts["messages"] == 1
    assert report.counts["agents that were there"] == AGENTS
    assert len(report.failed) == 1
    assert "agent-7" in report.failed[0]
    assert letta.agents.retrieve(agent).name == "renamed here"
    newest = next(iter(letta.agents.messages.list(agent)))
    assert (newest.id, newest.content) == (name("message", "new"), "one more")  # type: ignore[union-attr]


def fill_conversations(c: Any, agent: str) -> None:
    """A conversation of two turns, and a deleted one; a run that ended and one that did not."""
    thread, run = name("conv", 1), name("run", 1)
    _insert(c, "conversations", id=thread, agent_id=agent, summary="about tea",
            created_at="2026-01-02T03:04:05Z")  # fmt: skip
    _insert(c, "conversations", id=name("conv", 2), agent_id=agent, is_deleted=True)
    _insert(c, "runs", id=run, agent_id=agent, conversation_id=thread, status="completed",
            stop_reason="end_turn", created_at="2026-01-02T03:04:06Z",
            completed_at="2026-01-02T03:04:08Z")  # fmt: skip
    _insert(c, "runs", id=name("run", 2), agent_id=agent, status="running")
    for number, tokens in enumerate((10, 20)):
        _insert(c, "steps", id=name("step", number), agent_id=agent, run_id=run, model="gpt-x",
                provider_name="openai", prompt_tokens=tokens, completion_tokens=1,
                stop_reason="end_turn", feedback="positive" if number else None,
                tags=["t"])  # fmt: skip
    said = [("system", "compiled"), ("user", "tea?"), ("assistant", "green"), ("user", "sugar?")]
    for number, (role, text) in enumerate(said):
        _insert(c, "messages", id=name("message", "conv", number), agent_id=agent, role=role,
                content=[{"type": "text", "text": text}], conversation_id=thread,
                step_id=name("step", 0), run_id=run)  # fmt: skip
    _insert(c, "messages", id=name("message", "gone"), agent_id=agent, role="user",
            content=[{"type": "text", "text": "gone"}],
            conversation_id=name("conv", 2))  # fmt: skip


def test_conversations_and_runs_are_taken_over(letta: Letta, socket: Path, letta_url: str) -> None:
    agent, thread, run = name("agent", 1), name("conv", 1), name("run", 1)
    with psycopg.connect(letta_url) as c:
        fill_conversations(c, agent)
    for again in (False, True):
        with opened(letta_url) as source:
            report = LettaImport(source, ControlApi(socket), with_runs=True).run()
        assert (report.failed, report.notes) == ([], [])
        added = {name: report.counts[name] for name in ("conversations", "runs", "steps")}
        assert set(added.values()) == ({0} if again else {1, 2})
    assert report.counts["messages of deleted conversations, left out"] == 1
    assert report.counts["runs that had not ended, left out"] == 1

    (found,) = letta.conversations.list(agent_id=agent)
    assert (found.id, found.summary) == (thread, "about tea")
    assert found.created_at is not None
    assert found.created_at.year == 2026
    texts = [m.content for m in letta.conversations.messages.list(thread, order="asc")]  # type: ignore[union-attr]
    assert texts == ["tea?", "green", "sugar?"]
    assert len(list(letta.agents.messages.list(agent, limit=1000))) == 2 * TURNS
    taken = letta.runs.retrieve(run)
    assert (taken.status, taken.stop_reason, taken.conversation_id) == (
        "completed", "end_turn", thread,
    )  # fmt: skip
    assert taken.total_duration_ns == 2_000_000_000
    steps = {step.id: step for step in letta.runs.steps.list(run)}
    assert set(steps) == {name("step", 0), name("step", 1)}
    last = steps[name("step", 1)]
    assert (last.model, last.prompt_tokens, last.feedback) == ("gpt-x", 20, "positive")
    usage = letta.runs.usage.retrieve(run)
    assert (usage.prompt_tokens, usage.completion_tokens) == (30, 2)
    assert len(list(letta.runs.messages.list(run))) == 3


def test_companions_are_taken_over(letta: Letta, socket: Path, letta_url: str) -> None:
    first, second = name("agent", 1), name("agent", 2)
    pairs = {"sleeptime": first, "round_robin": name("agent", 3)}
    with psycopg.connect(letta_url) as c:
        for kind, manager in pairs.items():
            _insert(c, "groups", id=name("group", kind), manager_type=kind,
                    manager_agent_id=manager, sleeptime_agent_frequency=3)  # fmt: skip
            _insert(c, "groups_agents", group_id=name("group", kind), agent_id=second)
    for count in (1, 0):
        with opened(letta_url) as source:
            report = LettaImport(source, ControlApi(socket)).run()
        assert report.failed == []
        assert report.counts["groups"] == count
        assert len(report.notes) == 1
        assert "round_robin" in report.notes[0]
    agent = letta.agents.retrieve(first)
    assert agent.managed_group is not None
    assert agent.managed_group.agent_ids == [second]
    assert agent.managed_group.sleeptime_agent_frequency == 3


def test_an_older_database_has_conversations_of_no_table(
    letta: Letta, socket: Path, letta_url: str
) -> None:
    with psycopg.connect(letta_url) as c:
        fill_conversations(c, name("agent", 1))
        c.execute("DROP TABLE conversations, steps")
    with opened(letta_url) as source:
        report = LettaImport(source, ControlApi(socket), with_runs=True).run()
    assert (report.failed, report.notes) == ([], ["the database has no table steps"])
    assert report.counts["conversations"] == 2
    assert report.counts["runs"] == 1
    texts = [m.content for m in letta.conversations.messages.list(name("conv", 2))]  # type: ignore[union-attr]
    assert texts == ["gone"]


def test_a_conversation_of_another_agent_is_refused(
    letta: Letta, socket: Path, letta_url: str
) -> None:
    mine = letta.agents.create()
    own = letta.conversations.create(agent_id=mine.id)
    with psycopg.connect(letta_url) as c:
        _insert(c, "conversations", id=own.id, agent_id=name("agent", 1))
    with opened(letta_url) as source:
        report = LettaImport(source, ControlApi(socket)).run()
    (failed,) = report.failed
    assert f"{own.id} is a conversation of {mine.id}" in failed
    assert report.counts["agents"] == AGENTS


def test_the_source_is_only_read(letta_url: str) -> None:
    with opened(letta_url) as source:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            source._connection.execute("DELETE FROM agents")
        source._connection.rollback()


def test_another_database_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as c:
        c.execute("DROP TABLE messages CASCADE")
    with pytest.raises(SetupError, match="no table 'messages'"):
        with opened(database_url):
            pass
