"""The views that turns opened with, by request id, so that a shadow's turn reads the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final, NamedTuple

from o_platform.bridge.lru import Lru
from o_platform.bridge.memo import Memo
from o_platform.bridge.views import AgentView

KEPT_SNAPSHOTS: Final = 2048


class Snapshot(NamedTuple):
    """An agent as of one turn's start; `memo` fills with what that turn pays for."""

    view: AgentView
    opened_at: datetime
    memo: Memo


class Snapshots:
    """The newest snapshots, while there is a shadow to read them."""

    def __init__(self) -> None:
        """None yet, and none kept before `enabled` is set."""
        self.enabled = False
        self._kept: Lru[str, Snapshot] = Lru(KEPT_SNAPSHOTS)
        self._awaited: dict[str, list[asyncio.Future[Snapshot]]] = {}

    def put(self, request_id: str, view: AgentView, memo: Memo) -> None:
        """Keep what the turn of this request opened with."""
        if not self.enabled:
            return
        snapshot = Snapshot(view, datetime.now(UTC), memo)
        self._kept.put(request_id, snapshot)
        for waiting in self._awaited.pop(request_id, ()):
            if not waiting.done():
                waiting.set_result(snapshot)

    def get(self, request_id: str) -> Snapshot | None:
        """The snapshot, if the turn has opened."""
        return self._kept.get(request_id)

    async def wait(self, request_id: str, *, wait_s: float) -> Snapshot | None:
        """The snapshot, or None if the turn does not open in time."""
        snapshot = self._kept.get(request_id)
        if snapshot is not None:
            return snapshot
        future: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(request_id, []).append(future)
        try:
            async with asyncio.timeout(wait_s):
                return await future
        except TimeoutError:
            return None
        finally:
            waiting = self._awaited.get(request_id, [])
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._awaited[request_id]
