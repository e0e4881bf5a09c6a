"""Hearing what PostgreSQL announces."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import psycopg
import pytest

from o_platform.db.announcements import Announcement, listening
from o_platform.db.engine import CHANNEL_FILES, CHANNEL_ROUTES, CHANNEL_RUNS, Database, announce


async def _say(database: Database, channel: str, *payloads: str) -> None:
    async with database.unit_of_work() as session:
        for payload in payloads:
            await announce(session, channel, payload)


async def test_announcements_are_heard_in_order_each_once(database: Database) -> None:
    async with listening(database.url, CHANNEL_RUNS, CHANNEL_ROUTES) as announcements:
        await _say(database, CHANNEL_FILES, "not for us")
        await _say(database, CHANNEL_RUNS, "a", "b")
        await _say(database, CHANNEL_ROUTES, "c")
        heard: list[Announcement] = []
        while len(heard) < 3:
            heard += await announcements.wait(10)
        assert heard == [(CHANNEL_RUNS, "a"), (CHANNEL_RUNS, "b"), (CHANNEL_ROUTES, "c")]
        assert await announcements.wait(0.01) == []


async def test_a_wait_ends_at_an_announcement_or_when_its_time_is_over(
    database: Database,
) -> None:
    async with listening(database.url, CHANNEL_RUNS) as announcements:
        waiting = asyncio.create_task(announcements.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        await _say(database, CHANNEL_RUNS, "now")
        assert await asyncio.wait_for(waiting, 10) == [(CHANNEL_RUNS, "now")]
        began = time.monotonic()
        assert await announcements.wait(1.2) == []
        assert time.monotonic() - began >= 1.2


async def test_a_broken_connection_is_told_once_all_was_heard(database: Database) -> None:
    async with listening(database.url, CHANNEL_RUNS) as announcements:
        await _say(database, CHANNEL_RUNS, "before")
        await asyncio.sleep(0)
        await _end_listeners(database)
        heard = await announcements.wait(10)
        assert heard == [(CHANNEL_RUNS, "before")]
        with pytest.raises(psycopg.OperationalError):
            await announcements.wait(10)


async def test_a_broken_connections_number_is_left_to_who_has_it_next(database: Database) -> None:
    loop, ours, theirs = asyncio.get_running_loop(), *socket.socketpair()
    before = _descriptors()
    async with listening(database.url, CHANNEL_RUNS) as announcements:
        used = _descriptors() - before
        await _end_listeners(database)
        with pytest.raises(psycopg.OperationalError):
            await announcements.wait(10)
        (number,) = used - _descriptors()
        os.dup2(ours.fileno(), number)
        readable = asyncio.Event()
        loop.add_reader(number, readable.set)
    theirs.send(b"x")
    try:
        await asyncio.wait_for(readable.wait(), 5)
    finally:
        loop.remove_reader(number)
        os.close(number)
        ours.close()
        theirs.close()


def _descriptors() -> set[int]:
    folder = Path("/proc/self/fd")
    names = [path.name for path in folder.iterdir()]
    return {int(name) for name in names if (folder / name).exists()}  # not that of the listing


async def _end_listeners(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as admin:
        cursor = await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        )
        assert await cursor.fetchall() == [(True,)]
