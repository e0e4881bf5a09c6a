"""Search of a long conversation: how long it takes, and how much of what is nearest it finds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
from pgvector.psycopg import register_vector

from o_benchmarks.memory.bulk import Took, without_indexes
from o_benchmarks.memory.kept import built, kept_server, kept_vault
from o_benchmarks.memory.searches import QUERIES, WARM_UP, timed
from o_benchmarks.memory.topics import PER_TOPIC, queries, rounds
from o_contracts.ids import new_id, now_us
from o_contracts.messages import Message
from o_platform.agents.recall import RecallQuery, recall
from o_platform.agents.stored_messages import stored_message
from o_platform.db import marks
from o_platform.db.engine import Database
from o_platform.db.sealing import Vault
from o_platform.memory.embedders import CHANCE_SIMILARITY, HASH_MODEL
from o_platform.memory.embeddings import embed

NEAREST: Final = 10
AGENT: Final = "agent-00000001-0000-4000-8000-000000000000"
TYPES: Final = ("user_message", "assistant_message")
_AGENT_ROW: Final = """
WITH lineage AS (INSERT INTO lineages (name, key) VALUES ('default', 1) RETURNING name)
INSERT INTO agents (id, lineage, name, agent_type, system, model, model_settings, embedding, tools,
  tool_rules, tags)
SELECT %s, name, 'bench', 'letta_v1_agent', '', 'o/echo', '{}', 'o/hash', '{}', '[]', '{}'
FROM lineage
"""
_EXACT: Final = """
SELECT seq, (embedding <=> %s::halfvec) FROM message_index WHERE agent_id = %s ORDER BY 2 LIMIT %s
"""


async def conversation(folder: Path, messages: int) -> dict[str, float]:
    """Latency and recall of searches of so many messages of one agent, kept in `folder`."""
    topics = max(1, messages // PER_TOPIC)
    name = f"recall_{topics * PER_TOPIC}"
    texts = queries(topics, QUERIES + WARM_UP).texts
    with kept_server(folder) as server:
        done = built(folder, server, name, partial(_fill, topics, texts[:QUERIES]))
        database = Database(server.url_of(name), kept_vault(folder))

        async def search(number: int) -> None:
            await _search(database, RecallQuery(texts[number], NEAREST, AGENT))

        figures = await timed("recall.search", server, search)
        found = wanted = 0
        for text, nearest in zip(texts[:QUERIES], done.nearest, strict=True):
            query = RecallQuery(text, NEAREST, AGENT, mode="vector")
            hits = await _search(database, query)
            found, wanted = found + len(hits & set(nearest)), wanted + len(nearest)
        await database.close()
    figures["recall.recall_share"] = found / wanted
    figures["recall.messages"] = topics * PER_TOPIC
    return figures | {f"recall.built.{step}_s": s for step, s in done.took.items()}


async def _search(database: Database, query: RecallQuery) -> set[int]:
    vector = embed(query.text)
    async with database.exchange() as exchange:
        hits = await recall(exchange, database.vault, query, HASH_MODEL, vector)
        return {hit.row.seq for hit in hits}


def _fill(
    topics: int,
    asked: Sequence[str],
    connection: psycopg.Connection,
    vault: Vault,
    took: Took,
) -> list[list[int]]:
    register_vector(connection)
    connection.execute(_AGENT_ROW, (AGENT,))
    connection.execute(
        "INSERT INTO long_histories (agent_id, is_complete) VALUES (%s, true)", (AGENT,)
    )
    began = time.perf_counter()
    with (
        without_indexes(connection, "messages", took),
        without_indexes(connection, "message_index", took),
    ):
        first = 1
        for made in rounds(topics):
            _copy(connection, vault, first, made.texts)
            first += len(made.texts)
        connection.execute("SELECT setval(pg_get_serial_sequence('messages', 'seq'), %s)",
                           (topics * PER_TOPIC,))  # fmt: skip
        took["filled"] = time.perf_counter() - began
    limit = 1.0 - CHANCE_SIMILARITY[HASH_MODEL]
    nearest = []
    for text in asked:
        rows = connection.execute(_EXACT, (str(embed(text)), AGENT, NEAREST)).fetchall()
        nearest.append([seq for seq, distance in rows if distance < limit])
    return nearest


def _copy(connection: psycopg.Connection, vault: Vault, first: int, texts: Sequence[str]) -> None:
    now = datetime.now(UTC)
    columns = "COPY messages (seq, id, agent_id, type, body, created_at) FROM STDIN"
    with connection.cursor().copy(columns) as copy:
        for seq, text in enumerate(texts, first):
            message = Message(new_id("message"), TYPES[seq % 2], now_us(), text)
            stored = stored_message(vault, message)
            copy.write_row((seq, stored.id, AGENT, stored.type, f'"{stored.body}"', now))
    columns = (
        "COPY message_index (seq, agent_id, type, words, model, embedding, created_at, is_long)"
        " FROM STDIN"
    )
    with connection.cursor().copy(columns) as copy:
        for seq, text in enumerate(texts, first):
            words = marks.vector(vault, text)
            vector = str(embed(text))
            copy.write_row((seq, AGENT, TYPES[seq % 2], words, HASH_MODEL, vector, now, True))
