"""Takes the supervisor's events (`<home>/log/events.jsonl`) into the table `events`, each once.

The place up to which the file was read is stored with the last event itself, so it is never ahead
of nor behind the rows. A rotated file is finished before the new one is begun.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from o_platform.db.engine import Database
from o_platform.db.models import Event

LOOK_S: Final = 0.5
SOURCE: Final = "supervisor"
_BATCH_BYTES: Final = 256 * 1024
_OWN_FIELDS: Final = ("at", "kind", "child", "message")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the file: which one, and how many bytes of it were read."""

    inode: int
    offset: int


class SupervisorEvents:
    """Follows the supervisor's events."""

    def __init__(self, database: Database, file: Path) -> None:
        """`file` need not exist yet."""
        self._database = database
        self._file = file

    async def run(self) -> None:
        """Take over what is new until cancelled."""
        place = await self.fetch_place()
        while True:
            taken = await self.take(place)
            if taken == place:
                await asyncio.sleep(LOOK_S)
            place = taken

    async def take(self, place: Place | None) -> Place | None:
        """Store the next events after `place`; the place after them."""
        lines, after = _read(self._file, place)
        events = [event for line in lines if (event := _event(line, after)) is not None]
        if events:
            async with self._database.unit_of_work() as session:
                session.add_all(events)
        return after

    async def fetch_place(self) -> Place | None:
        """The place up to which events are stored."""
        newest = (
            select(Event.data)
            .where(Event.data["source"].astext == SOURCE)
            .order_by(Event.id.desc())
            .limit(1)
        )
        async with self._database.unit_of_work() as session:
            data = await session.scalar(newest)
        return None if data is None else Place(data["inode"], data["offset"])


def _read(file: Path, place: Place | None) -> tuple[list[bytes], Place | None]:
    path = _current(file, place)
    if path is None:
        return [], place
    with path.open("rb") as stream:
        inode = os.fstat(stream.fileno()).st_ino
        start = place.offset if place is not None and place.inode == inode else 0
        stream.seek(start)
        data = stream.read(_BATCH_BYTES)
    whole = data[: data.rfind(b"\n") + 1]
    if whole:
        return whole.splitlines(), Place(inode, start + len(whole))
    if path != file and file.exists():
        return [], Place(file.stat().st_ino, 0)
    return [], place


def _current(file: Path, place: Place | None) -> Path | None:
    if place is not None:
        for candidate in (file, *sorted(file.parent.glob(f"{file.name}.[0-9]*"))):
            if candidate.exists() and candidate.stat().st_ino == place.inode:
                return candidate
    return file if file.exists() else None


def _event(line: bytes, after: Place | None) -> Event | None:
    try:
        said: dict[str, Any] = json.loads(line)
        at = datetime.fromisoformat(said["at"])
        kind, child, message = str(said["kind"]), str(said["child"]), str(said["message"])
    except (ValueError, KeyError, TypeError):
        return None
    data = {name: value for name, value in said.items() if name not in _OWN_FIELDS}
    if after is not None:
        data |= {"source": SOURCE, "inode": after.inode, "offset": after.offset}
    return Event(at=at, kind=kind, subject=child or SOURCE, message=message, data=data)
