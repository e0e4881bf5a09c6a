"""Attempts at instances, handed to the rollouts that asked for them.

There is one log and one reader; each rollout subscribes to its instances and takes what came since
its last look, together with the place in the log up to which that is. It stores both at once, so
that after a crash nothing is counted twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from o_platform.rollout.ports import Attempt, AttemptLog

READ_S: Final = 0.2
"""Time between two reads of the log, in seconds."""
MAX_KEPT: Final = 200_000
"""Attempts kept for one rollout until it looks; of more, the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class LogMark:
    """A place in the log, as it is stored with a rollout."""

    inode: int
    offset: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LogMark:
        """Read what `dataclasses.asdict` wrote."""
        return cls(data["inode"], data["offset"])


@dataclass(frozen=True, slots=True)
class Batch:
    """What a rollout had not seen yet, and where the log was read to."""

    attempts: list[Attempt]
    mark: LogMark


class Subscription:
    """The attempts at some instances."""

    def __init__(self, hub: ObservationHub) -> None:
        """Made by `ObservationHub.subscribe`."""
        self._hub = hub
        self.instances: set[str] = set()
        self.kept: deque[Attempt] = deque(maxlen=MAX_KEPT)

    async def take(self) -> Batch:
        """Everything since the last call, the newest lines of the log included."""
        mark = await self._hub.read()
        attempts = list(self.kept)
        self.kept.clear()
        return Batch(attempts, mark)


class ObservationHub:
    """Reads the log and fills the subscriptions."""

    def __init__(self, log: AttemptLog) -> None:
        """`log` has no other reader."""
        self._log = log
        self._lock = asyncio.Lock()
        self._subscriptions: dict[str, Subscription] = {}

    def subscribe(self, rollout_id: str) -> Subscription:
        """The subscription of a rollout, made at the first call."""
        return self._subscriptions.setdefault(rollout_id, Subscription(self))

    def unsubscribe(self, rollout_id: str) -> None:
        """Forget a rollout that has ended."""
        self._subscriptions.pop(rollout_id, None)

    async def read(self) -> LogMark:
        """Read what is new; returns the place that was read to."""
        async with self._lock:
            for attempt in await self._log.read_new():
                for subscription in self._subscriptions.values():
                    if attempt.instance_id in subscription.instances:
                        subscription.kept.append(attempt)
            position = self._log.position
            return LogMark(position.inode, position.offset)

    async def run(self) -> None:
        """Read for ever, so that the log is rotated even while nobody looks."""
        while True:
            await self.read()
            await asyncio.sleep(READ_S)
