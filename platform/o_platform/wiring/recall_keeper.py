"""Keeps the index of messages in step, without standing in the way of what clients ask for."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from o_platform.agents.message_index import MessageIndexing
from o_platform.db.engine import Database
from o_platform.errors import OError
from o_platform.memory.embedders import Embedders
from o_platform.wiring.demand import Demand

LOOK_S: Final = 2.0
"""How often to look while there is nothing to do."""
PAUSE_S: Final = 30.0
"""How long to wait when the embedding model failed."""
COUNT_S: Final = 0.25
"""How long to count at least what is asked for before it is called much or little."""
BUSY_PER_S: Final = 20.0
"""Messages and requests per second from which on the platform counts as busy."""
BUSY_REST: Final = 19.0
"""Rest after a batch while it is busy, in times that the batch took."""
QUIET_REST: Final = 3.0
"""The same while it is not: whoever asks for something then finds most of a core free at once."""
_log = logging.getLogger(__name__)


class RecallKeeper:
    """Runs the job that indexes messages."""

    def __init__(
        self, database: Database, embedders: Embedders, model: str, demand: Demand
    ) -> None:
        """`model` is the handle of the embedding model that messages have."""
        self._job = MessageIndexing(database, embedders, model)
        self._demand = demand

    async def run(self) -> None:
        """Look and work until cancelled."""
        loop = asyncio.get_running_loop()
        seen, seen_at, rest = await self._seen(), loop.time(), QUIET_REST
        while True:
            began = loop.time()
            done = await self._step()
            took = loop.time() - began
            await asyncio.sleep(rest * took if done else LOOK_S)
            if loop.time() - seen_at >= COUNT_S:
                before, seen = seen, await self._seen()
                rate = (seen - before) / (loop.time() - seen_at)
                seen_at, rest = loop.time(), BUSY_REST if rate > BUSY_PER_S else QUIET_REST

    async def _seen(self) -> int:
        return await self._job.newest() + self._demand.requests

    async def _step(self) -> int:
        try:
            return await self._job.step()
        except OError as error:
            _log.warning("messages were not indexed: %s", error.message)
            await asyncio.sleep(PAUSE_S)
            return 0
