"""Keeps documents read: looks when one is uploaded, and now and then."""

from __future__ import annotations

from typing import Final

from o_platform.agents.cache import ContextCache
from o_platform.agents.file_reading import FileReading
from o_platform.db.engine import CHANNEL_FILES, Database
from o_platform.db.hearing import Hearing

LOOK_S: Final = 60.0
"""How often to look when nothing is announced."""


class FileKeeper:
    """Runs the job that reads documents."""

    def __init__(self, database: Database, hearing: Hearing, cache: ContextCache) -> None:
        """`cache` is told of the agents that can read a document now."""
        self._hearing = hearing
        self._job = FileReading(database, cache)

    async def run(self) -> None:
        """Look and work until cancelled."""
        with self._hearing.subscribed(CHANNEL_FILES) as news:
            while True:
                if not await self._job.step():
                    await news.wait(LOOK_S)
