"""The migrations and the models are one schema, and every migration goes down again."""

from __future__ import annotations

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from o_platform.db.migrate import alembic_config, pending, upgrade

pytestmark = pytest.mark.integration


def test_there_is_a_single_head(database_url: str) -> None:
    script = ScriptDirectory.from_config(alembic_config(database_url))
    assert len(script.get_heads()) == 1


def test_models_and_migrations_agree(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_up_down_up(database_url: str) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, "base")
    with psycopg.connect(database_url) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename <> 'alembic_version'"
        ).fetchone()
    assert left == (0,)
    assert pending(database_url)
    upgrade(database_url)
    assert not pending(database_url)
    command.check(config)


def test_passages_of_agents_move_to_archives_and_back(database_url: str) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, "0004")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO lineages (name, key) VALUES ('default', 1)")
        _add_agents(connection)
        before = [("passage-1", "agent-1", "tea"), ("passage-2", "agent-1", "dog")]
        for passage, agent, text in before:
            connection.execute(
                "INSERT INTO passages (id, agent_id, text, embedding, tags, metadata)"
                " VALUES (%s, %s, %s, array_fill(0.5, ARRAY[256])::vector, '{x}', '{}')",
                (passage, agent, text),
            )
        command.upgrade(config, "head")
        moved = connection.execute(
            "SELECT p.id, ag.agent_id, p.text FROM passages p JOIN archives a ON a.id = archive_id"
            " JOIN agent_archives ag ON ag.archive_id = a.id AND ag.agent_id = a.owner_id"
            " JOIN passage_vectors v ON v.passage_id = p.id AND v.model = a.embedding"
            " AND v.archive_id = a.id AND v.tags = p.tags AND v.dimensions = 256"
            " WHERE p.words @@ to_tsquery('english', p.text) ORDER BY p.id"
        ).fetchall()
        assert moved == before
        assert connection.execute("SELECT count(*) FROM archives").fetchone() == (1,)
        command.downgrade(config, "0004")
        back = connection.execute("SELECT id, agent_id, text FROM passages ORDER BY id").fetchall()
        assert back == before


def test_only_indexes_of_few_vectors_are_built_before_the_start(database_url: str) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, "0019")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP INDEX ix_passage_vectors_hnsw_256")
        connection.execute("SET session_replication_role = replica")
        for dimensions, count in ((256, 20_001), (384, 20)):
            connection.execute(
                "INSERT INTO passage_vectors (passage_id, model, archive_id, dimensions, embedding,"
                " tags, created_at) SELECT n, 'm' || %(d)s, 'a', %(d)s,"
                " array_fill(0.5, ARRAY[%(d)s])::vector, '{}', now()"
                " FROM generate_series(1, %(n)s) AS n",
                {"d": dimensions, "n": count},
            )
        connection.execute(
            "CREATE INDEX ix_passage_vectors_hnsw_2 ON passage_vectors"
            " USING hnsw ((embedding::vector(2)) vector_cosine_ops) WHERE dimensions = 2"
        )
        command.upgrade(config, "head")
        indexes = dict(
            connection.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE '%hnsw%'"
            ).fetchall()
        )
    assert not {"ix_passage_vectors_hnsw_256", "ix_passage_vectors_hnsw_2"} & set(indexes)
    assert "halfvec(384)" in indexes["ix_passage_vectors_hnsw_384"]
    for definition in indexes.values():
        assert "WITH (m='16', ef_construction='200')" in definition


def test_messages_that_are_there_are_counted(database_url: str) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, "0021")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        _add_agents(connection)
        connection.execute("INSERT INTO conversations (id, agent_id) VALUES ('conv-1', 'agent-1')")
        for number, thread in enumerate((None, None, "conv-1")):
            connection.execute(
                "INSERT INTO messages (id, agent_id, conversation_id, type, body)"
                " VALUES (%s, 'agent-1', %s, 'user_message', '{}')",
                (str(number), thread),
            )
        command.upgrade(config, "head")
        counted = connection.execute(
            "SELECT id, message_count FROM agents"
            " UNION ALL SELECT id, message_count FROM conversations ORDER BY id"
        ).fetchall()
    assert counted == [("agent-1", 2), ("agent-2", 0), ("conv-1", 1)]


def _add_agents(connection: psycopg.Connection) -> None:
    for agent in ("agent-1", "agent-2"):
        connection.execute(
            "INSERT INTO agents (id, lineage, name, agent_type, system, model, model_settings,"
            " embedding, tools, tool_rules, tags) VALUES"
            " (%s, 'default', 'ada', 't', '', 'o/echo', '{}', 'o/hash', '{}', '[]', '{}')",
            (agent,),
        )
