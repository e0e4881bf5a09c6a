"""The supervisor's events reach the table once each, over restarts and rotation."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from o_platform.db.engine import Database
from o_platform.db.models import Event
from o_platform.supervisor.records import EventLog
from o_platform.wiring.supervisor_events import SupervisorEvents

pytestmark = pytest.mark.integration


async def stored(database: Database) -> list[str]:
    async with database.unit_of_work() as session:
        return list(await session.scalars(select(Event.message).order_by(Event.id)))


async def take_all(follower: SupervisorEvents) -> None:
    place = await follower.fetch_place()
    while (after := await follower.take(place)) != place:
        place = after


async def test_each_event_once(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    follower = SupervisorEvents(database, file)
    await take_all(follower)
    log = EventLog(file, max_bytes=600, keep=3)
    expected = []
    for number in range(20):
        message = f"bridge died ({number})"
        log.append("died", "bridge", message, code=-9)
        expected.append(message)
        if number % 3 == 0:
            # As a control plane that starts anew does: the place comes from the database.
            await take_all(SupervisorEvents(database, file))
    await take_all(follower)
    assert await stored(database) == expected
    async with database.unit_of_work() as session:
        event = (await session.scalars(select(Event).limit(1))).one()
    assert (event.kind, event.subject, event.data["code"]) == ("died", "bridge", -9)


async def test_half_lines_and_garbage(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    follower = SupervisorEvents(database, file)
    good = b'{"at": "2026-11-22T10:00:00+00:00", "kind": "k", "child": "", "message": "m"}\n'
    file.write_bytes(b"not json\n" + good + good[:20])
    await take_all(follower)
    assert await stored(database) == ["m"]
    with file.open("ab") as stream:
        stream.write(good[20:])
    await take_all(follower)
    assert await stored(database) == ["m", "m"]
