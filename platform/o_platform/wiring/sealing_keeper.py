"""Encryption at rest: rotation, and the job that seals anew what needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from o_platform.agents.cache import BridgeCache
from o_platform.db.engine import CHANNEL_SEALING, Database
from o_platform.db.hearing import Hearing
from o_platform.db.keys import KeySource, add_key
from o_platform.db.models import EncryptionKey
from o_platform.db.resealing import Resealing
from o_platform.errors import ConflictError

LOOK_S: Final = 60.0
IN_FLIGHT_S: Final = 60.0
"""Turns wait for PostgreSQL for 25 s at most, and its own limit for idle transactions is this."""


class SealingKeeper:
    """Rotates the encryption key, and runs the job."""

    def __init__(
        self, database: Database, hearing: Hearing, bridge: BridgeCache, source: KeySource
    ) -> None:
        """`bridge` is told of new keys; `source` is where they are kept."""
        self._database = database
        self._hearing = hearing
        self._bridge = bridge
        self._source = source
        self._job = Resealing(database, in_flight_s=IN_FLIGHT_S)

    async def run(self) -> None:
        """Look and work until cancelled; it rests after a batch as long as that took."""
        loop = asyncio.get_running_loop()
        with self._hearing.subscribed(CHANNEL_SEALING) as news:
            while True:
                began = loop.time()
                if await self._job.step():
                    await asyncio.sleep(loop.time() - began)
                else:
                    await news.wait(LOOK_S)
                    if self._source.is_file:
                        # Another control plane may have made a key.
                        self._database.vault.reload()

    async def keys(self) -> Sequence[EncryptionKey]:
        """The keys that the database has seen, the newest first, each with its progress."""
        return await self._job.keys()

    async def rotate(self) -> None:
        """Make a key that seals from now on; the job seals anew what former ones sealed.

        Every process can open values of both before one seals with the new key.

        Raises:
            ConflictError: the last rotation is not through, or the keys are not in a file.
            SetupError: the file cannot be written.
        """
        if not self._source.is_file:
            raise ConflictError(
                "the encryption keys come from the environment or a command: put a new key before "
                "the present one there and restart; sealing anew begins by itself"
            )
        newest = await self.keys()
        if newest and newest[0].sealed_at is None:
            raise ConflictError(
                f"the rows are still being sealed with the key {newest[0].id}; "
                "see `o keys encryption`",
                key_id=newest[0].id,
            )
        await asyncio.to_thread(add_key, self._source)
        self._database.vault.reload()
        await self._bridge.reload_keys()
        await self._job.register()
