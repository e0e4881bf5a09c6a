"""Keeps vectors complete: looks when told of an archive, and now and then."""

from __future__ import annotations

from typing import Final

from o_platform.db.engine import CHANNEL_EMBEDDINGS, Database
from o_platform.db.hearing import Hearing
from o_platform.memory.embedders import Embedders
from o_platform.memory.reembedding import PAUSE_S, Reembedding

LOOK_S: Final = PAUSE_S
"""How often to look when nothing is announced: archives whose model failed are tried again."""


class EmbeddingKeeper:
    """Runs the job that makes missing vectors."""

    def __init__(self, database: Database, hearing: Hearing, embedders: Embedders) -> None:
        """`embedders` are the models that archives may have."""
        self._hearing = hearing
        self._job = Reembedding(database, embedders)

    async def run(self) -> None:
        """Look and work until cancelled."""
        await self._job.ensure_indexes()
        with self._hearing.subscribed(CHANNEL_EMBEDDINGS) as news:
            while True:
                if not await self._job.step():
                    await news.wait(LOOK_S)
