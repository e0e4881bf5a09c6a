"""A prepared statement whose server dies fails; it does not wait for ever."""

from __future__ import annotations

import asyncio
import os
import signal

import psycopg
import pytest
import uvloop

from o_platform.agents.prepared import PreparedStatement
from o_platform.testing import require
from o_platform.testing.postgres import running_server, short_folder

pytestmark = pytest.mark.integration


def test_a_server_that_dies_with_the_query_unread_is_noticed() -> None:
    require("postgres")
    with short_folder() as folder, running_server(folder) as server:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_dies_unread(server.url_of("postgres")))
            runner.run(_answers_again(server.url_of("postgres")))


async def test_a_server_that_ends_the_connection_meanwhile_is_noticed_at_the_next_query(
    database_url: str,
) -> None:
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
    statement = PreparedStatement(connection, "SELECT $1::int + 1")
    try:
        assert await statement.execute(b"1") == [(b"2",)]
        assert await statement.execute(b"2") == [(b"3",)]
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
            await admin.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            await _ask_until_it_fails(statement)
    finally:
        await statement.close()


async def _ask_until_it_fails(statement: PreparedStatement) -> None:
    async with asyncio.timeout(20):
        while True:
            await statement.execute(b"3")


async def _dies_unread(url: str) -> None:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    backend = connection.info.backend_pid
    statement = PreparedStatement(connection, "SELECT $1::int + 1")
    try:
        assert await statement.execute(b"41") == [(b"42",)]
        os.kill(backend, signal.SIGSTOP)
        asked = asyncio.create_task(statement.execute(b"1"))
        await asyncio.sleep(0)
        os.kill(backend, signal.SIGKILL)
        async with asyncio.timeout(20):
            with pytest.raises(psycopg.OperationalError):
                await asked
    finally:
        await statement.close()


async def _answers_again(url: str) -> None:
    """A server that is told to stop while it recovers from a crash may not hear of it."""
    async with asyncio.timeout(20):
        while True:
            try:
                await (await psycopg.AsyncConnection.connect(url)).close()
            except psycopg.OperationalError:
                await asyncio.sleep(0.02)
            else:
                return
