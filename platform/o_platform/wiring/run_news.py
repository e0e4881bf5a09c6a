"""Wakes those who follow background runs, as PostgreSQL announces news of them.

Whoever follows a run also looks now and then; all do when announcements may have been lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from o_platform.db.engine import CHANNEL_RUN_EVENTS, CHANNEL_RUNS
from o_platform.db.hearing import Hearing


class RunNews:
    """The followers of this process; `run` hears for all of them."""

    def __init__(self, hearing: Hearing) -> None:
        """Nothing is heard before `run`."""
        self._hearing = hearing
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
        with self._hearing.subscribed(CHANNEL_RUNS, CHANNEL_RUN_EVENTS) as subscription:
            while True:
                news = await subscription.wait()
                for announcement in news.heard:
                    _ring(self._followers.get(announcement.payload, ()))
                if news.is_gap:
                    for followers in self._followers.values():
                        _ring(followers)


def _ring(bells: Iterable[asyncio.Event]) -> None:
    for bell in bells:
        bell.set()
