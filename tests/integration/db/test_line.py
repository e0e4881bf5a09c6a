"""Statements on lines: prepared once, whatever fails; given up, lost and replaced."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from o_platform.db.engine import Database, within
from o_platform.db.line import MOST_PREPARED, Call, Line, Statement, statement
from o_platform.errors import DatabaseUnavailableError
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration
HALF = Statement("SELECT to_json(10 / $1::int)::text")
ECHO = Statement("SELECT to_json($1::text[])::text")
AWKWARD = ["", "a,b", 'say "x"', "back\\slash", "{}", "NULL", " é "]


@pytest.fixture
async def database(database_url: str) -> Database:
    return Database(database_url, vault_of_tests())


async def test_a_statement_that_fails_can_be_asked_again(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await database.ask(HALF, 0)
        assert await database.ask(HALF, 2) == [5]
    await database.close()


async def test_arrays_arrive_as_they_were_sent_on_a_line_and_in_a_session(
    database: Database,
) -> None:
    assert await database.ask(ECHO, AWKWARD) == [AWKWARD]
    async with database.unit_of_work() as session:
        assert await within(session)(ECHO, AWKWARD) == [AWKWARD]
    await database.close()


async def test_an_exchange_that_is_not_finished_leaves_nothing(database: Database) -> None:
    insert = Statement("INSERT INTO lineages (name, key) VALUES ($1, $2)")
    count = Statement("SELECT count(*)::text FROM lineages")
    async with database.exchange() as exchange:
        await exchange(insert, "left", 1)
        assert await exchange(count) == [1]
    assert await database.ask(count) == [0]
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with database.exchange() as exchange:
            await exchange.finish((insert, ("twice", 1)), (insert, ("twice", 2)))
    assert await database.ask(count) == [0]
    async with database.exchange() as exchange:
        await exchange.ask((insert, ("kept", 1)))
        assert await exchange.finish((count, ())) == [[1]]
    assert await database.ask(count) == [1]
    await database.close()


async def test_more_statements_than_are_kept_prepared(database: Database) -> None:
    for _ in range(2):
        for number in range(MOST_PREPARED + 5):
            assert await database.ask(statement(f"SELECT '{number}'")) == [number]
    await database.close()


async def test_a_call_that_was_given_up_is_not_answered_to_the_next_one(
    database: Database,
) -> None:
    slow = Statement("SELECT 'true' FROM (SELECT pg_sleep($1::float8)) AS slept")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await database.ask(slow, "5")
    assert await database.ask(HALF, 5) == [2]
    await database.close()


async def test_a_line_that_the_server_closed_is_replaced(database: Database) -> None:
    backend = Statement("SELECT pg_backend_pid()::text")
    (first,) = await database.ask(backend)
    async with database.unit_of_work() as session:
        end = Statement("SELECT to_json(pg_terminate_backend($1::int))::text")
        assert await within(session)(end, first) == [True]
    async with asyncio.timeout(10):
        while True:
            try:
                (second,) = await database.ask(backend)
            except DatabaseUnavailableError:
                continue  # it had not heard yet that the server closed it
            if second != first:
                break
    await database.close()


async def test_a_line_notices_that_the_server_said_goodbye(database_url: str) -> None:
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
    line, pid = Line(connection), connection.info.backend_pid
    other = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
    await other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    await other.close()
    async with asyncio.timeout(10):
        while line.is_usable:  # noqa: ASYNC110 - the event loop hears of it
            await asyncio.sleep(0.01)
    with pytest.raises(psycopg.OperationalError, match="closed"):
        await line.run(Call(HALF, [b"2"]))
    await line.close()


async def test_large_values_go_both_ways(database: Database) -> None:
    text = "x" * 3_000_000
    same = Statement("SELECT to_json($1::text)::text")
    assert await database.ask(same, text) == [text]
    async with database.exchange() as exchange:
        assert await exchange.ask((same, (text,)), (same, (text,))) == [[text], [text]]
    await database.close()
