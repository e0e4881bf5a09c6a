from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from o_contracts.ids import new_agent_id
from o_platform.db.engine import Database
from o_platform.db.models import Agent, Lineage
from o_platform.errors import BadInputError, NotFoundError, TooLargeError
from o_platform.memory.archives import archives_of
from o_platform.memory.passages import (
    MAX_TEXT_CHARACTERS,
    PassagePage,
    count_passages,
    delete_passage,
    insert_passage,
    list_passages,
)
from o_platform.memory.search import search_passages

pytestmark = pytest.mark.integration

CORPUS = {
    "tea": "Ada likes green tea in the morning, and never drinks coffee.",
    "dog": "Her dog is called Turing and is afraid of thunder.",
    "work": "She works as a compiler engineer in Zürich.",
    "team": "The team meets on Tuesdays to plan the release.",
    "train": "She missed her train to Geneva because of snow.",
    "attempt": "Attempt 7: a smaller context window made latency 30 % worse; rejected at load.",
}


async def new_agent(database: Database) -> str:
    agent_id = new_agent_id(1)
    async with database.unit_of_work() as session:
        await session.merge(Lineage(name="default", key=1))
        await session.flush()
        session.add(
            Agent(
                id=agent_id,
                lineage="default",
                name="ada",
                agent_type="letta_v1_agent",
                system="",
                model="o/echo",
                model_settings={},
                embedding="o/hash",
                tools=[],
                tool_rules=[],
                tags=[],
            )  # fmt: skip
        )
    return agent_id


@pytest.fixture
async def agent_id(database: Database) -> str:
    return await new_agent(database)


async def keep(database: Database, agent_id: str, corpus: dict[str, str]) -> None:
    async with database.unit_of_work() as session:
        for tag, text in corpus.items():
            await insert_passage(session, agent_id, text, tags=[tag])


async def found(database: Database, agent_id: str, query: str, **more: object) -> list[str]:
    async with database.unit_of_work() as session:
        hits = await search_passages(session, agent_id, query, **more)  # type: ignore[arg-type]
    return [passage.tags[0] for passage, _ in hits]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("what does she like to drink?", "tea"),
        ("name of the dog", "dog"),
        ("compilers", "work"),
        ("Zurich", "work"),
        ("when is the team meeting", "team"),
        ("trains", "train"),
        ("latency got worse", "attempt"),
        ("why was attempt 7 rejected", "attempt"),
    ],
)
async def test_the_fitting_passage_comes_first(
    database: Database, agent_id: str, query: str, first: str
) -> None:
    await keep(database, agent_id, CORPUS)
    assert (await found(database, agent_id, query))[0] == first


async def test_scores_fall_and_passages_come_whole(database: Database, agent_id: str) -> None:
    await keep(database, agent_id, CORPUS)
    async with database.unit_of_work() as session:
        hits = await search_passages(session, agent_id, "green tea and coffee in the morning")
    assert hits[0][0].text == CORPUS["tea"]
    assert hits[0][1] == 1.0
    scores = [score for _, score in hits]
    assert scores == sorted(scores, reverse=True)


async def test_what_shares_nothing_is_not_found(database: Database, agent_id: str) -> None:
    await keep(database, agent_id, CORPUS)
    assert await found(database, agent_id, "quarterly invoices") == []
    assert await found(database, agent_id, "\x00 ' | & ! :* <->") == []


async def test_blank_query_gives_the_newest(database: Database, agent_id: str) -> None:
    await keep(database, agent_id, CORPUS)
    assert await found(database, agent_id, "  ", top_k=2) == ["attempt", "train"]
    assert await found(database, agent_id, "", tags=["dog"]) == ["dog"]


async def test_tags_match_any_or_all(database: Database, agent_id: str) -> None:
    async with database.unit_of_work() as session:
        for tags in (["a", "x"], ["b", "x"], ["c", "x"]):
            await insert_passage(session, agent_id, f"green tea {tags[0]}", tags=[*tags, "x"])
    tea = "green tea"
    assert sorted(await found(database, agent_id, tea, tags=["a", "b"])) == ["a", "b"]
    assert await found(database, agent_id, tea, tags=["b", "x"], tag_match="all") == ["b"]
    assert await found(database, agent_id, tea, tags=["nothing"]) == []
    assert len(await found(database, agent_id, tea, top_k=2)) == 2


async def test_time_bounds(database: Database, agent_id: str) -> None:
    await keep(database, agent_id, {"tea": CORPUS["tea"]})
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert await found(database, agent_id, "tea", since=now - hour, until=now + hour) == ["tea"]
    assert await found(database, agent_id, "tea", since=now + hour) == []
    assert await found(database, agent_id, "tea", until=now - hour) == []


async def test_agents_do_not_see_each_others_passages(database: Database, agent_id: str) -> None:
    other = await new_agent(database)
    await keep(database, other, CORPUS)
    assert await found(database, agent_id, "green tea") == []
    async with database.unit_of_work() as session:
        (archive,) = await archives_of(session, other)
        assert await archives_of(session, agent_id) == []
        (theirs, *_) = await list_passages(session, [archive.id], PassagePage())
        with pytest.raises(NotFoundError):
            await delete_passage(session, [], theirs.id)
        with pytest.raises(NotFoundError):
            await list_passages(session, [], PassagePage(after=theirs.id))
        assert await count_passages(session, agent_id) == 0
        assert await count_passages(session, other) == len(CORPUS)


async def test_listing_pages_both_ways(database: Database, agent_id: str) -> None:
    await keep(database, agent_id, CORPUS)
    order = list(CORPUS)
    async with database.unit_of_work() as session:
        mine = [archive.id for archive in await archives_of(session, agent_id)]
        everything = await list_passages(session, mine, PassagePage())
        assert [passage.tags[0] for passage in everything] == order
        ids = [passage.id for passage in everything]

        async def page(**more: object) -> list[str]:
            rows = await list_passages(session, mine, PassagePage(**more))  # type: ignore[arg-type]
            return [row.id for row in rows]

        assert await page(after=ids[1], limit=2) == ids[2:4]
        assert await page(before=ids[2]) == ids[:2]
        assert await page(before=ids[4], limit=2) == ids[2:4]
        assert await page(ascending=False, limit=2) == ids[:-3:-1]
        assert await page(ascending=False, after=ids[2]) == [ids[1], ids[0]]
        assert await page(ascending=False, before=ids[4]) == [ids[5]]
        assert await page(search="TURING") == [ids[1]]
        assert await page(search="30 %") == [ids[5]]


async def test_deleted_is_gone(database: Database, agent_id: str) -> None:
    await keep(database, agent_id, CORPUS)
    async with database.unit_of_work() as session:
        (hit, _), *_ = await search_passages(session, agent_id, "dog")
        await delete_passage(session, [hit.archive_id], hit.id)
    assert "dog" not in await found(database, agent_id, "dog")
    async with database.unit_of_work() as session:
        with pytest.raises(NotFoundError, match=hit.id):
            await delete_passage(session, [hit.archive_id], hit.id)


async def test_bad_passages_are_refused(database: Database, agent_id: str) -> None:
    async with database.unit_of_work() as session:
        for text, error in (
            (" \n", BadInputError),
            ("a\x00b", BadInputError),
            ("x" * (MAX_TEXT_CHARACTERS + 1), TooLargeError),
        ):
            with pytest.raises(error):
                await insert_passage(session, agent_id, text)
        longest = await insert_passage(session, agent_id, "x" * MAX_TEXT_CHARACTERS, meta={"n": 1})
        assert longest.meta == {"n": 1}
    with pytest.raises(NotFoundError, match="no agent"):
        async with database.unit_of_work() as session:
            await insert_passage(session, new_agent_id(1), "orphan")
