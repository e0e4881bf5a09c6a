"""Launching the engine of durable workflows without standing in its way.

The launch blocks the event loop, and migrations of its schema wait for every transaction that was
open before them: one that this very loop holds open would never end. So the schema is migrated
first, in a thread, and the launch finds nothing left to do.
"""

from __future__ import annotations

import asyncio

from dbos import DBOS

from o_platform.rollout.workflow import SCHEMA, DurableEngine


class Workflows:
    """The engine of durable workflows of this process."""

    def __init__(self, database_url: str) -> None:
        """`database_url` is a plain `postgresql://` URL; nothing connects yet."""
        self._database_url = database_url
        self._engine: DurableEngine | None = None

    async def launch(self) -> None:
        """Go on with the workflows that were interrupted; a failed launch can be repeated."""
        await asyncio.to_thread(DBOS.migrate, self._database_url, schema=SCHEMA)
        engine = DurableEngine(self._database_url)
        launched = False
        try:
            engine.launch()
            launched = True
        finally:
            if not launched:
                await engine.close()
        self._engine = engine

    async def close(self) -> None:
        """Stop; unfinished workflows go on at the next launch."""
        if self._engine is not None:
            await self._engine.close()
            self._engine = None
