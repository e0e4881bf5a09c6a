"""Wakes those who follow background runs, as PostgreSQL announces news of them.

Whoever follows a run also looks now and then, so a lost announcement costs a moment and no event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from o_platform.db.announcements import listening
from o_platform.db.engine import CHANNEL_RUN_EVENTS, CHANNEL_RUNS, Database


class RunNews:
    """The followers of this process; `run` hears for all of them on one connection."""

    def __init__(self, database: Database) -> None:
        """Nothing is heard before `run`."""
        self._url = database.url
        self._followers: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def following(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at every piece of news of this run."""
        bell = asyncio.Event()
        followers = self._followers.setdefault(run_id, set())
        followers.add(bell)
        try:
            yield bell
        finally:
            followers.discard(bell)
            if not followers:
                self._followers.pop(run_id, None)

    async def run(self) -> None:
        """Hear and wake until cancelled."""
        async with listening(self._url, CHANNEL_RUNS, CHANNEL_RUN_EVENTS) as announcements:
            while True:
                for news in await announcements.wait():
                    for bell in self._followers.get(news.payload, ()):
                        bell.set()
