"""What PostgreSQL announces, for everybody in a process: one connection hears for all of them.

A connection is a process of PostgreSQL's, which takes more memory than all that is ever announced.
So `Hearing.run` holds the only one, and passes on what it hears. When the connection breaks it
makes another; what was announced in between nobody has heard, so every subscription is told then
to look anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import psycopg

from o_platform.db.announcements import Announcement, listening

RETRY_S: Final = 0.25
"""Between two tries to connect while PostgreSQL is away."""
MOST_HEARD: Final = 1_000
"""Announcements that are kept for a subscriber who is busy; more are a gap."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What a subscription has heard; true if there is any.

    `is_gap`: something may have been announced that nobody has heard, so look at everything.
    """

    heard: list[Announcement]
    is_gap: bool

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.is_gap or bool(self.heard)


class Subscription:
    """One subscriber's news; made by `Hearing.subscribed`."""

    __slots__ = ("_heard", "_is_gap", "_waiting", "channels")

    def __init__(self, channels: frozenset[str]) -> None:
        """Nothing was heard yet."""
        self.channels = channels
        self._heard: list[Announcement] = []
        self._is_gap = False
        self._waiting: asyncio.Future[None] | None = None

    async def wait(self, timeout_s: float | None = None) -> News:
        """The news since the last call, once there is any; none when time is over."""
        if not (self._heard or self._is_gap):
            await self._wait(timeout_s)
        news = News(self._heard, self._is_gap)
        self._heard, self._is_gap = [], False
        return news

    def tell(self, announcement: Announcement) -> None:
        """Called by `Hearing`."""
        if len(self._heard) == MOST_HEARD:
            self._heard, self._is_gap = [], True
        if not self._is_gap:  # or it looks at everything anyway
            self._heard.append(announcement)
        self._wake()

    def tell_gap(self) -> None:
        """Called by `Hearing`."""
        self._heard, self._is_gap = [], True
        self._wake()

    async def _wait(self, timeout_s: float | None) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Hearing:
    """The connection on which a process hears, and those for whom it does."""

    def __init__(self, url: str, *channels: str) -> None:
        """`url` is a plain `postgresql://` URL; `channels` are all that anybody may ask for.

        Nothing connects before `run`.
        """
        self._url = url
        self._channels = channels
        self._subscriptions: set[Subscription] = set()

    @contextmanager
    def subscribed(self, *channels: str) -> Iterator[Subscription]:
        """News of these channels while the context is open.

        Whatever is announced from now on is heard, or a gap is told of.

        Raises:
            ValueError: nobody listens to one of the channels.
        """
        if unknown := set(channels) - set(self._channels):
            raise ValueError(f"nobody listens to {', '.join(sorted(unknown))}")
        subscription = Subscription(frozenset(channels))
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def run(self) -> None:
        """Hear until cancelled, on a new connection when one is lost."""
        is_away = False
        while True:
            try:
                async with listening(self._url, *self._channels) as announcements:
                    is_away = False
                    for subscription in self._subscriptions:
                        subscription.tell_gap()
                    while True:
                        self._pass_on(await announcements.wait())
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if not is_away:
                    _log.warning("announcements are not heard, PostgreSQL is away: %s", error)
                is_away = True
            await asyncio.sleep(RETRY_S)

    def _pass_on(self, announcements: list[Announcement]) -> None:
        for announcement in announcements:
            for subscription in self._subscriptions:
                if announcement.channel in subscription.channels:
                    subscription.tell(announcement)
