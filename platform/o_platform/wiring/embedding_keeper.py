"""Keeps vectors complete: looks when told of an archive, and now and then."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy.exc import DBAPIError

from o_platform.db.engine import CHANNEL_EMBEDDINGS, Database
from o_platform.db.hearing import Hearing
from o_platform.errors import DatabaseUnavailableError
from o_platform.memory.embedders import Embedders
from o_platform.memory.reembedding import PAUSE_S, Reembedding

LOOK_S: Final = PAUSE_S
"""How often to look when nothing is announced: archives whose model failed are tried again."""
LONGEST_PAUSE_S: Final = 3600.0
"""Between two tries to build an index; the first ones are made sooner."""
_log = logging.getLogger(__name__)


class EmbeddingKeeper:
    """Runs the job that makes missing vectors."""

    def __init__(self, database: Database, hearing: Hearing, embedders: Embedders) -> None:
        """`embedders` are the models that archives may have."""
        self._hearing = hearing
        self._job = Reembedding(database, embedders)

    async def run(self) -> None:
        """Look and work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._have_indexes())
            with self._hearing.subscribed(CHANNEL_EMBEDDINGS) as news:
                while True:
                    if not await self._job.step():
                        await news.wait(LOOK_S)

    async def _have_indexes(self) -> None:
        """Build what is missing beside the steps: of a large archive it takes half an hour."""
        pause_s = LOOK_S
        while True:
            try:
                return await self._job.ensure_indexes()
            except (DatabaseUnavailableError, DBAPIError) as error:
                said = "an index of archives was not built, searches go on without it: %s"
                _log.warning(said, error)
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
