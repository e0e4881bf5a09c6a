"""Recall over a real index: words, nearness, what is not indexed yet, and the job that indexes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, text

from o_contracts.messages import Message as Said
from o_platform.agents import message_index
from o_platform.agents import recall as recall_module
from o_platform.agents.message_index import MessageIndexing
from o_platform.agents.recall import RecallQuery, query_vector, recall
from o_platform.db.engine import Database
from o_platform.db.line import Statement
from o_platform.db.models import Agent, IndexedMessage, Lineage, Message
from o_platform.memory.embedders import HASH_MODEL, Embedders, Vector

pytestmark = pytest.mark.integration

_SCANS = text(
    "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'ix_message_index_hnsw_256'"
)
_ENTRIES_READ = text(
    "SELECT sum(seq_tup_read) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes"
    " WHERE relname = 'message_index') FROM pg_stat_user_tables WHERE relname = 'message_index'"
)
START = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = (
    "my dog is called Rex",
    "the weather in Lisbon is sunny",
    "Rex likes running on the beach",
    "book a table for two",
    "running is healthy",
)


DOGS = "is my dog called Max"


class Doubling:
    """Another model: that of o/hash twice over, so that its dimension differs."""

    handle = "test/double"

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        hashed = await Embedders().get(HASH_MODEL).embed(texts)
        return [[*vector, *vector] for vector in hashed]


@pytest.fixture
async def history(database: Database) -> Database:
    async with database.unit_of_work() as session:
        session.add(Lineage(name="default", key=1))
        await session.flush()
        for name in ("agent-1", "agent-2"):
            session.add(
                Agent(
                    id=name,
                    lineage="default",
                    name="a",
                    agent_type="t",
                    system="",
                    model="m",
                    model_settings={},
                    embedding="o/hash",
                    tools=[],
                    tool_rules=[],
                    tags=[],
                )  # fmt: skip
            )
        await session.flush()
        session.add_all(row(number, text) for number, text in enumerate(TEXTS))
    return database


def row(number: int, text: str, agent: str = "agent-1", **fields: Any) -> Message:
    kind = fields.pop("type", "user_message")
    body = msgspec.to_builtins(Said(f"message-{number}", kind, 1, text))
    at = START + timedelta(days=number)
    return Message(id=body["id"], agent_id=agent, type=kind, body=body, created_at=at)


async def found(database: Database, text: str, model: str = HASH_MODEL, **fields: Any) -> list[str]:
    models = Embedders([Doubling()])
    query = RecallQuery(text, **{"agent_id": "agent-1"} | fields)
    vector = await query_vector(models, model, query)
    async with database.exchange() as exchange:
        hits = await recall(exchange, database.vault, query, model, vector)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [str(hit.row.body["content"]) for hit in hits]


async def index(database: Database, model: str = HASH_MODEL) -> int:
    job, total = MessageIndexing(database, Embedders([Doubling()]), model), 0
    while done := await job.step():
        total += done
    return total


async def test_the_same_is_found_before_and_after_indexing(
    history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_index, "BATCH", 2)
    for _ in range(2):
        assert (await found(history, "what is the dogs name?"))[0] == TEXTS[0]
        assert set(await found(history, "run")) == {TEXTS[2], TEXTS[4]}
        assert (await found(history, "Rex running"))[0] == TEXTS[2]
        assert await found(history, "run", until=START + timedelta(days=4)) == [TEXTS[2]]
        assert await found(history, "run", since=START + timedelta(days=3)) == [TEXTS[4]]
        assert await found(history, "run", types=["assistant_message"]) == []
        assert await found(history, "run", agent_id="agent-2") == []
        assert await found(history, "", limit=2) == [TEXTS[4], TEXTS[3]]
        assert await found(history, "on the") == [TEXTS[2]]
        await index(history)
    # Letters in common are near, words are not the same.
    assert "book a table for two" in await found(history, "bookings tables", mode="vector")
    assert await found(history, "bookable", mode="fts") == []


async def test_what_comes_late_or_after_is_indexed_too_and_another_model_takes_over(
    history: Database,
) -> None:
    assert await index(history) == len(TEXTS)
    assert await index(history) == 0
    async with history.unit_of_work() as session:
        session.add(row(9, "sailing to the island", type="assistant_message"))
        gone = await session.get_one(IndexedMessage, 1)
        await session.delete(gone)
    assert await found(history, "islands") == ["sailing to the island"]
    assert await index(history) == 2
    assert await index(history, "test/double") == len(TEXTS) + 1
    async with history.unit_of_work() as session:
        held = await session.get_one(IndexedMessage, 2)
        assert (held.model, len(held.embedding)) == ("test/double", 512)
        await session.delete(await session.get_one(Message, 1))
    assert (await found(history, "weather Lisbon", model="test/double"))[0] == TEXTS[1]
    assert TEXTS[0] not in await found(history, "dog Rex", model="test/double")


async def test_a_batch_reads_as_much_of_a_large_index_as_of_a_small_one(
    history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_index, "BATCH", 500)
    monkeypatch.setattr(message_index, "LOOK_BACK", 100)
    async with history.unit_of_work() as session:
        session.add_all(row(100 + n, f"chatter {n}") for n in range(3_000))
    await index(history)
    await history.ask(Statement("ANALYZE"))
    monkeypatch.setattr(message_index, "BATCH", 2)
    async with history.unit_of_work() as session:
        session.add_all(row(9_000 + n, f"new {n}", "agent-2") for n in range(3))
    job = MessageIndexing(history, Embedders(), HASH_MODEL)
    before = await entries_read(history)
    assert [await job.step(), await job.step()] == [2, 1]
    assert 0 < await entries_read(history) - before < 1_000


async def entries_read(database: Database) -> int:
    """Of the index of messages, by the only connection that works on it."""
    async with database.unit_of_work() as session:
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
    async with database.unit_of_work() as session:
        return int(await session.scalar(_ENTRIES_READ) or 0)


async def test_a_long_history_is_searched_by_nearness_to_its_beginning(
    history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_index, "LONG", 100)
    monkeypatch.setattr(recall_module, "NEAREST_OF", 20)
    async with history.unit_of_work() as session:
        for agent in ("agent-1", "agent-2"):
            session.add_all(
                row(1000 * len(agent) + n + 500 * (agent == "agent-2"), f"chatter {n}", agent)
                for n in range(150)
            )
    job = MessageIndexing(history, Embedders(), HASH_MODEL)
    while await job.step() == message_index.BATCH:
        assert TEXTS[0] not in await found(history, DOGS, mode="vector", limit=20)
    while await job.step():
        pass

    assert await found(history, DOGS, mode="vector", limit=1) == [TEXTS[0]]
    assert "chatter 149" in await found(history, "chattering 149", mode="vector")
    assert TEXTS[0] not in await found(history, DOGS, mode="vector", agent_id="agent-2")
    early = {"until": START + timedelta(days=3), "mode": "vector"}
    assert await found(history, "Rex runs on a beach", **early) == [TEXTS[2], TEXTS[0]]
    # Of the connection that searched: it was the only one, and is so now.
    await history.ask(Statement("SELECT 'true', pg_stat_force_next_flush()"))
    async with history.unit_of_work() as session:
        scans = await session.scalar(_SCANS)
        said = await session.scalars(select(IndexedMessage.is_long).distinct())
    assert scans
    assert set(said) == {True}

    async with history.unit_of_work() as session:
        session.add(row(9999, "somebody calls my other dog"))
    await index(history)
    calls = await found(history, "somebody called my other dogs", mode="vector", limit=1)
    assert calls == ["somebody calls my other dog"]
