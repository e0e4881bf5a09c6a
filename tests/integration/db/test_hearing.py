"""One connection that hears for everybody in a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress

import psycopg
import pytest

from o_platform.db.engine import CHANNEL_FILES, CHANNEL_ROUTES, CHANNEL_RUNS, Database, announce
from o_platform.db.hearing import Hearing, News

_LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
)
_NOTHING = News([], False)


@pytest.fixture
async def hearing(database: Database) -> AsyncIterator[Hearing]:
    """It hears of files, routes and runs."""
    hearing = Hearing(database.url, CHANNEL_FILES, CHANNEL_ROUTES, CHANNEL_RUNS)
    task = asyncio.create_task(hearing.run())
    with hearing.subscribed(CHANNEL_FILES) as first:
        assert (await first.wait(10)).is_gap, "it connects"
    yield hearing
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _say(database: Database, channel: str, payload: str) -> None:
    async with database.unit_of_work() as session:
        await announce(session, channel, payload)


async def _listeners(database: Database, *, ended: bool = False) -> list[int]:
    """Processes of PostgreSQL's that announce to us; ended at once if wanted."""
    async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as admin:
        found = [int(pid) for (pid,) in await (await admin.execute(_LISTENERS)).fetchall()]
        for pid in found if ended else ():
            await admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
        return found


async def test_each_hears_of_its_channels_on_one_connection(
    database: Database, hearing: Hearing
) -> None:
    with ExitStack() as stack:
        files = stack.enter_context(hearing.subscribed(CHANNEL_FILES))
        both = stack.enter_context(hearing.subscribed(CHANNEL_FILES, CHANNEL_ROUTES))
        await _say(database, CHANNEL_RUNS, "for neither")
        await _say(database, CHANNEL_FILES, "a")
        await _say(database, CHANNEL_ROUTES, "b")
        heard = [*(await both.wait(10)).heard]
        while len(heard) < 2:
            heard += (await both.wait(10)).heard
        assert heard == [(CHANNEL_FILES, "a"), (CHANNEL_ROUTES, "b")]
        assert await files.wait(10) == News([(CHANNEL_FILES, "a")], is_gap=False)
        assert await files.wait(0.01) == await both.wait(0.01) == _NOTHING
        assert not _NOTHING
        assert len(await _listeners(database)) == 1


async def test_a_wait_ends_at_an_announcement(database: Database, hearing: Hearing) -> None:
    with hearing.subscribed(CHANNEL_RUNS) as runs:
        waiting = asyncio.create_task(runs.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        await _say(database, CHANNEL_RUNS, "now")
        assert (await asyncio.wait_for(waiting, 10)).heard == [(CHANNEL_RUNS, "now")]


async def test_all_look_anew_when_the_connection_was_lost(
    database: Database, hearing: Hearing
) -> None:
    channels = (CHANNEL_FILES, CHANNEL_ROUTES, CHANNEL_RUNS)
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(hearing.subscribed(channel)) for channel in channels]
        waiting = [asyncio.create_task(each.wait()) for each in all_of_them]
        assert len(await _listeners(database, ended=True)) == 1
        for news in await asyncio.wait_for(asyncio.gather(*waiting), 10):
            assert news == News([], is_gap=True)
        for channel, each in zip(channels, all_of_them, strict=True):
            await _say(database, channel, "again")
            assert (await each.wait(10)).heard == [(channel, "again")]


async def test_nobody_can_wait_for_what_is_not_listened_to(hearing: Hearing) -> None:
    with pytest.raises(ValueError, match="o_schedules"), hearing.subscribed("o_schedules"):
        pass
