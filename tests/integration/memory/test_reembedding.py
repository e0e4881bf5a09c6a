"""Vectors made by a job: missing ones, and those of the model that an archive moves to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from sqlalchemy import func, select, text

from o_platform.agents.archive_repository import ArchiveFilter, move
from o_platform.agents.archive_service import ArchiveService, NewArchive
from o_platform.agents.paging import Page
from o_platform.db.engine import CHANNEL_EMBEDDINGS, Database
from o_platform.db.hearing import Hearing
from o_platform.db.line import Statement
from o_platform.db.models import Archive, Passage, PassageVector
from o_platform.db.models.memory import index_name
from o_platform.errors import LlmError
from o_platform.memory import search
from o_platform.memory.embedders import Embedders, Vector
from o_platform.memory.passages import NewPassage
from o_platform.memory.reembedding import BATCH, Reembedding
from o_platform.memory.search import PassageQuery
from o_platform.wiring import embedding_keeper
from o_platform.wiring.embedding_keeper import EmbeddingKeeper

pytestmark = pytest.mark.integration

TOPICS = ("tea", "dog", "train")


class TopicModel:
    """Knows what a text is about, in any language: what `o/hash` cannot."""

    def __init__(self, handle: str, dimensions: int) -> None:
        self.handle = handle
        self.dimensions = dimensions
        self.is_away = False

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self.is_away:
            raise LlmError("the model is away")
        return [self._vector(text.replace("Hund", "dog")) for text in texts]

    def _vector(self, text: str) -> Vector:
        topics = [float(topic in text) for topic in TOPICS]
        return [*topics, 0.01, *([0.0] * (self.dimensions - 4))]


@pytest.fixture
def topics() -> TopicModel:
    return TopicModel("test/topics-4", 4)


@pytest.fixture
def archives(database: Database, topics: TopicModel) -> ArchiveService:
    return ArchiveService(database, models(topics))


def models(*known: TopicModel) -> Embedders:
    by_handle = {model.handle: model for model in known}
    return Embedders(remote=by_handle.__getitem__)


async def vectors_by_model(database: Database) -> dict[str, int]:
    counted = select(PassageVector.model, func.count()).group_by(PassageVector.model)
    async with database.unit_of_work() as session:
        return {model: count for model, count in await session.execute(counted)}


async def found(archives: ArchiveService, archive_id: str, query: str) -> list[str]:
    hits = await archives.search(archive_id, PassageQuery(query))
    return [hit.passage.text for hit in hits]


async def test_an_archive_moves_to_another_model(
    database: Database, archives: ArchiveService, topics: TopicModel
) -> None:
    archive = await archives.create(NewArchive("wiki"))
    texts = [f"the {TOPICS[n % 3]} number {n}" for n in range(2 * BATCH + 3)]
    await archives.keep(archive.id, [NewPassage(text) for text in texts])
    job = Reembedding(database, models(topics))
    assert not await job.step()

    await archives.update(archive.id, {"embedding": topics.handle})
    assert await job.step()
    assert "Hund" not in str(await found(archives, archive.id, "Hund"))
    assert (await archives.fetch(archive.id)).embedding == "o/hash"
    assert await found(archives, archive.id, "number 7") != []
    # Kept while it moves: the job must not miss what is behind it.
    await archives.keep(archive.id, [NewPassage("a late dog")])

    job = Reembedding(database, models(topics))  # The former died.
    while await job.step():
        pass
    moved = await archives.fetch(archive.id)
    assert (moved.embedding, moved.dimensions, moved.next_embedding) == (topics.handle, 4, None)
    assert await vectors_by_model(database) == {topics.handle: len(texts) + 1}
    assert all("dog" in text for text in (await found(archives, archive.id, "Hund"))[:5])
    async with database.unit_of_work() as session:
        assert not await session.scalar(select(func.count()).where(Passage.unembedded))
        built = "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_passage_vectors_hnsw_4'"
        index = str(await session.scalar(text(built)))
    assert "WITH (m='16', ef_construction='200') WHERE (dimensions = 4)" in index


async def test_a_model_that_is_away_is_asked_again(
    database: Database, archives: ArchiveService, topics: TopicModel
) -> None:
    archive = await archives.create(NewArchive("wiki", embedding=topics.handle))
    other = await archives.create(NewArchive("other"))
    topics.is_away = True
    with pytest.raises(LlmError):
        await archives.keep(archive.id, [NewPassage("a dog")])
    async with database.unit_of_work() as session:
        for id_, name in ((archive.id, "passage-1"), (other.id, "passage-2")):
            session.add(
                Passage(id=name, archive_id=id_, text="a dog", tags=[], meta={}, unembedded=True)
            )
    job = Reembedding(database, models(topics))
    while await job.step():
        pass
    assert await vectors_by_model(database) == {"o/hash": 1}
    topics.is_away = False
    job = Reembedding(database, models(topics))
    while await job.step():
        pass
    assert await vectors_by_model(database) == {"o/hash": 1, topics.handle: 1}
    assert await found(archives, archive.id, "Hund") == ["a dog"]


async def test_going_back_before_the_move_ended(
    database: Database, archives: ArchiveService, topics: TopicModel
) -> None:
    archive = await archives.create(NewArchive("wiki"))
    await archives.keep(archive.id, [NewPassage("a dog")])
    await archives.update(archive.id, {"embedding": topics.handle})
    job = Reembedding(database, models(topics))
    assert await job.step()
    await archives.update(archive.id, {"embedding": "o/hash"})
    while await job.step():
        pass
    assert await vectors_by_model(database) == {"o/hash": 1}
    (shown,) = await archives.list(ArchiveFilter(), Page())
    assert (shown.embedding, shown.next_embedding, shown.is_untidy) == ("o/hash", None, False)


def test_a_move_is_counted_from_the_first_passage() -> None:
    archive = Archive(
        embedding="a/b", next_embedding="c/d", embedded_up_to="passage-7", is_untidy=False
    )
    move(archive, "c/d")
    assert archive.embedded_up_to == "passage-7"
    move(archive, "e/f")
    assert (archive.next_embedding, archive.embedded_up_to, archive.is_untidy) == ("e/f", "", True)


@pytest.mark.parametrize("dimensions", [256, 2048])
async def test_large_archives_are_searched_by_the_index(
    database: Database, monkeypatch: pytest.MonkeyPatch, dimensions: int
) -> None:
    model = TopicModel("test/large", dimensions)
    archives = ArchiveService(database, models(model))
    monkeypatch.setattr(search, "EXACT_BELOW", 20)
    archive = await archives.create(NewArchive("wiki", embedding=model.handle))
    await Reembedding(database, models(model)).ensure_indexes()
    texts = [f"the {TOPICS[n % 3]} number {n}" for n in range(240)]
    texts_tagged = [NewPassage(one, ["even"] if n % 2 == 0 else []) for n, one in enumerate(texts)]
    await archives.keep(archive.id, texts_tagged)
    hits = await archives.search(archive.id, PassageQuery("Hund", tags=["even"], top_k=12))
    assert len(hits) == 12
    assert all("dog" in hit.passage.text and hit.passage.tags == ["even"] for hit in hits)
    monkeypatch.setattr(search, "RANKED_WORDS", 5)
    worded = await archives.search(archive.id, PassageQuery("number 7 tea", top_k=12))
    texts_found = [hit.passage.text for hit in worded]
    assert "the dog number 7" in texts_found  # two of the words, beside ever so many with one
    assert "the tea number 0" in texts_found
    few = PassageQuery("Hund number 7", tags=["even"], top_k=5, since=hits[0].passage.created_at)
    assert len(await archives.search(archive.id, few)) == 5
    # Of the connection that searched: it was the only one, and is so now.
    await database.ask(Statement("SELECT 'true', pg_stat_force_next_flush()"))
    scanned = text("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = :name")
    async with database.unit_of_work() as session:
        assert await session.scalar(scanned, {"name": index_name(dimensions)}) == 3


async def test_a_word_that_is_everywhere_else_is_found_in_few_passages(
    database: Database, archives: ArchiveService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few of all that have it are looked at first."""
    monkeypatch.setattr(search, "EXACT_BELOW", 1)
    monkeypatch.setattr(search, "SCAN_SETTINGS", search.SCAN_SETTINGS | {
        "gin_fuzzy_search_limit": "1", "enable_seqscan": "off",
    })  # fmt: skip
    wide, mine = [
        await archives.create(NewArchive(name, embedding="test/topics-4"))
        for name in ("wide", "mine")
    ]
    await archives.keep(wide.id, [NewPassage("weather number 0")])
    kept = [f"weather of {place}" for place in ("Ulm", "Bern", "Graz")]
    newer = [NewPassage(f"nothing of {n}") for n in range(200)]  # as near as those
    await archives.keep(mine.id, [*map(NewPassage, kept), *newer])
    # As in a large table, where the planner goes by the words.
    drop = "DROP INDEX ix_passages_archive_created, ix_passages_archive_id_id"
    columns = "archive_id, text, words, tags, metadata, unembedded, created_at"
    copy = (
        f"INSERT INTO passages (id, {columns}) SELECT id || '-' || n, {columns} "  # noqa: S608
        "FROM passages, generate_series(1, 6000) AS n WHERE archive_id = :wide"
    )
    async with database.unit_of_work() as session:
        await session.execute(text(drop))
        await session.execute(text(copy), {"wide": wide.id})
    clean = "SELECT to_json(gin_clean_pending_list('ix_passages_words'))::text"
    await database.ask(Statement(clean))
    for _ in range(5):
        hits = await archives.search(mine.id, PassageQuery("weather", top_k=6))
        assert {hit.passage.text for hit in hits} >= set(kept)


async def test_passages_are_embedded_although_an_index_cannot_be_built(
    database: Database,
    archives: ArchiveService,
    topics: TopicModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedding_keeper, "LOOK_S", 0.05)
    async with database.unit_of_work() as session:  # in the way of the index, by its name
        await session.execute(text(f"CREATE TABLE {index_name(4)} ()"))
    archive = await archives.create(NewArchive("wiki", embedding=topics.handle))
    await archives.keep(archive.id, [NewPassage("the dog")])
    async with database.unit_of_work() as session:
        await session.execute(text("DELETE FROM passage_vectors"))
        await session.execute(text("UPDATE passages SET unembedded = true"))
    hearing = Hearing(database.url, CHANNEL_EMBEDDINGS)
    keeper = EmbeddingKeeper(database, hearing, models(topics))
    tasks = [asyncio.create_task(run()) for run in (hearing.run, keeper.run)]
    try:
        await _until(lambda: _is_embedded(database, archive.id))
        async with database.unit_of_work() as session:
            await session.execute(text(f"DROP TABLE {index_name(4)}"))
        await _until(lambda: _has_index(database, index_name(4)))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await look():  # noqa: ASYNC110 — a condition nobody signals
            await asyncio.sleep(0.02)


async def _is_embedded(database: Database, archive_id: str) -> bool:
    async with database.unit_of_work() as session:
        vectors = select(func.count()).where(PassageVector.archive_id == archive_id)
        return bool(await session.scalar(vectors))


async def _has_index(database: Database, name: str) -> bool:
    async with database.unit_of_work() as session:
        found = text("SELECT to_regclass(:name) IS NOT NULL")
        return bool(await session.scalar(found, {"name": name}))
