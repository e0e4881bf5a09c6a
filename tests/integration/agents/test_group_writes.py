"""Writes at the same time are one transaction; one that fails does not fail its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import product
from typing import Any

import psycopg
import pytest

from o_contracts.ids import new_agent_id
from o_platform.agents.block_history import KEPT_VERSIONS
from o_platform.agents.block_service import BlockService
from o_platform.agents.group_writes import GroupWrites
from o_platform.agents.inputs import Author, NewAgent, NewBlock
from o_platform.agents.service import AgentService
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.engine import Database, Wanted
from o_platform.db.line import Statement
from o_platform.errors import DatabaseUnavailableError, NotFoundError
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration
RENAME = Statement(
    "UPDATE agents SET name = $2, version = version + 1 / $3::int WHERE id = $1 "
    "RETURNING to_json(name)::text"
)
TRANSACTIONS = Statement("SELECT count(DISTINCT xmin::text)::text FROM agents WHERE version > 1")
COUNT = 40


class Dropped:
    """Remembers which agents were dropped, and together with which."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []

    async def drop(self, agent_ids: Sequence[str]) -> None:
        if agent_ids:
            self.groups.append(list(agent_ids))

    @property
    def agents(self) -> list[str]:
        return [one for group in self.groups for one in group]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, vault_of_tests())
    await database.ask(Statement("INSERT INTO lineages (name, key) VALUES ('default', 1)"))
    yield database
    await database.close()


@pytest.fixture
def dropped() -> Dropped:
    return Dropped()


@pytest.fixture
def service(database: Database, dropped: Dropped) -> AgentService:
    return AgentService(database, dropped, ToolCatalogue(()))


async def _made(service: AgentService, count: int = COUNT) -> list[str]:
    wanted = NewAgent("o/echo")
    views = await asyncio.gather(*(service.create(wanted) for _ in range(count)))
    return [view.agent.id for view in views]


async def test_writes_at_the_same_time_share_transactions(
    database: Database, dropped: Dropped, service: AgentService
) -> None:
    ids = await _made(service)
    assert dropped.agents == []
    views = await asyncio.gather(*(service.update(one, {"name": one[-4:]}) for one in ids))
    assert [(view.agent.id, view.agent.name) for view in views] == [(one, one[-4:]) for one in ids]
    assert sorted(dropped.agents) == sorted(ids)
    assert await database.ask(TRANSACTIONS) == [len(dropped.groups)]
    assert len(dropped.groups) <= COUNT / 4


async def test_one_that_fails_fails_alone(
    database: Database, dropped: Dropped, service: AgentService
) -> None:
    ids = await _made(service)
    writes = GroupWrites(database, dropped)
    bad = ids[COUNT // 2]
    answers: list[Any] = await asyncio.gather(
        *(writes.update(one, RENAME, one, "new", int(one != bad)) for one in ids),
        return_exceptions=True,
    )
    failed = answers.pop(COUNT // 2)
    assert isinstance(failed, psycopg.errors.DivisionByZero)
    assert answers == [["new"]] * (COUNT - 1)
    assert bad not in dropped.agents


class Unheard(Database):
    """Writes, and loses the word that it is done."""

    async def ask_all(self, *wanted: Wanted) -> list[list[Any]]:
        await super().ask_all(*wanted)
        raise DatabaseUnavailableError("the connection is lost")


async def test_what_may_be_done_is_not_done_again(
    database_url: str, database: Database, dropped: Dropped, service: AgentService
) -> None:
    ids = await _made(service, 8)
    unheard = Unheard(database_url, vault_of_tests())
    writes = GroupWrites(unheard, dropped)
    answers = await asyncio.gather(
        *(writes.update(one, RENAME, one, "new", 1) for one in ids), return_exceptions=True
    )
    await unheard.close()
    assert [type(one) for one in answers] == [DatabaseUnavailableError] * len(ids)
    written = Statement("SELECT to_json(version)::text FROM agents WHERE name = 'new'")
    assert await database.ask(written) == [2] * len(ids)


async def test_whoever_is_not_there_is_told_so_among_others(service: AgentService) -> None:
    ids = await _made(service, 3)
    nobody = new_agent_id(1)
    answers = await asyncio.gather(
        *(service.update(one, {"name": "new"}) for one in [*ids, nobody]), return_exceptions=True
    )
    assert isinstance(answers.pop(), NotFoundError)
    assert all(not isinstance(one, BaseException) and one.agent.name == "new" for one in answers)


async def test_whoever_is_given_up_leaves_the_others_an_answer(
    database_url: str, database: Database, dropped: Dropped, service: AgentService
) -> None:
    ids = await _made(service, 4)
    writes = GroupWrites(database, dropped)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT id FROM agents WHERE id = %s FOR UPDATE", (ids[0],))
        tasks = [
            asyncio.create_task(writes.update(ids[0], RENAME, ids[0], "new", 1)) for _ in range(4)
        ]
        waiting = Statement(
            "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
        async with asyncio.timeout(20):
            while await database.ask(waiting) != [2]:  # noqa: ASYNC110 - PostgreSQL does not tell
                await asyncio.sleep(0.01)
        # The first two are being written, each alone; the others wait for one of them.
        tasks[0].cancel()
        other.rollback()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [["new"]] * 3


async def test_edits_of_shared_blocks_among_changes_of_their_holders_all_count(
    database: Database, dropped: Dropped, service: AgentService
) -> None:
    ids, blocks = await _made(service, 3), BlockService(database, dropped)
    made = [(await blocks.create(NewBlock(f"b{n}", "0"))).id for n in range(4)]
    for one, block in product(ids, made):
        await service.attach_block(one, block)
    before = [(await service.fetch(one)).agent.version for one in ids]

    async def edits(number: int) -> None:
        for block in made[number:] + made[:number]:
            await blocks.update(block, {"value": f"{number}"}, Author("ada"))

    renames = (service.update(one, {"name": f"n{n}"}) for one, n in product(ids, range(4)))
    await asyncio.gather(*map(edits, range(4)), *renames)
    for block in made:
        versions = await blocks.history(block)
        assert [one.version for one in versions] == [5, 4, 3, 2, 1]
        assert sorted(one.value for one in versions[:-1]) == ["0", "1", "2", "3"]
        assert (await blocks.fetch(block)).value == versions[0].value
    after = [(await service.fetch(one)).agent.version for one in ids]
    assert [new - old for new, old in zip(after, before, strict=True)] == [4 * 4 + 4] * 3


async def test_only_the_newest_versions_are_kept(database: Database, dropped: Dropped) -> None:
    blocks = BlockService(database, dropped)
    made = (await blocks.create(NewBlock("human", "0"))).id
    for number in range(1, 3):
        await blocks.update(made, {"value": str(number)}, Author("ada"))
    later = Statement("UPDATE blocks SET version = $2::bigint WHERE id = $1 RETURNING 'true'")
    last = KEPT_VERSIONS
    for version, oldest in ((last - 1, 2), (last + 1, 2), (2 * last, last + 2)):
        await database.ask(later, made, version)
        for text in "ab":
            await blocks.update(made, {"value": text}, Author("ada"))
        kept = [one.version for one in await blocks.history(made)]
        assert (kept[-1], kept[0]) == (oldest, version + 2)


async def test_a_database_that_is_away_is_told_to_all(dropped: Dropped) -> None:
    database = Database("postgresql://nobody@localhost:1/nothing", vault_of_tests())
    writes = GroupWrites(database, dropped)
    answers = await asyncio.gather(
        *(writes.update(one, RENAME, one, "new", 1) for one in "abcde"),
        return_exceptions=True,
    )
    assert all(isinstance(one, DatabaseUnavailableError) for one in answers)
    assert dropped.groups == []
    await database.close()


async def test_writes_go_by_plans_that_are_made_once(database: Database, dropped: Dropped) -> None:
    plans = Statement("SELECT to_json(current_setting('plan_cache_mode'))::text")
    assert await GroupWrites(database, dropped).insert(plans) == ["force_generic_plan"]
    assert await database.ask(plans) == ["auto"]
