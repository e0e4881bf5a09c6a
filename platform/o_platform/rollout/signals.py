"""Wakes whoever waits for news of a rollout in this process; the row tells what the news is."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Signals:
    """One event per rollout. A lost signal costs time only: everyone who waits also looks."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def notify(self, rollout_id: str) -> None:
        """Wake all who wait for this rollout."""
        for event in self._waiting.get(rollout_id, ()):
            event.set()

    async def wait(self, rollout_id: str, timeout_s: float) -> None:
        """Return at the next signal, or after `timeout_s` seconds."""
        event = asyncio.Event()
        waiting = self._waiting.setdefault(rollout_id, set())
        waiting.add(event)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await event.wait()
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(rollout_id, None)
