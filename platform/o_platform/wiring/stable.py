"""Keeps one stable instance of every lineage running.

Level-triggered: at every announcement of a change of instances or routes, and every few seconds,
it compares what the rows say with what should be, and does the difference. What a rollout needs of
instances is the rollout's; while one is active, only a missing stable instance is started.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.bridge import Role
from o_platform.db.engine import CHANNEL_INSTANCES, CHANNEL_ROUTES, Database
from o_platform.db.hearing import Hearing
from o_platform.db.models import Event, Instance, Lineage, Rollout
from o_platform.errors import OError

LOOK_S: Final = 5.0
"""How often to look when nothing is announced."""
FIRST_PAUSE_S: Final = 1.0
"""Pause after a first failed start of a lineage's instance; doubles up to `LAST_PAUSE_S`."""
LAST_PAUSE_S: Final = 60.0
_log = logging.getLogger(__name__)


class StableFleet(Protocol):
    """Starts and ends instances (`runtimes.fleet.Fleet`)."""

    async def ensure(self, lineage: str, variant: str, role: Role) -> object:
        """A ready instance of the variant in this role; the same one when asked again."""
        ...

    async def retire(self, instance_id: str) -> None:
        """Stop and remove an instance; one that is gone already is fine."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done now."""

    missing: list[tuple[str, str]]
    """Lineage and variant of stable instances to start."""
    superfluous: list[str]
    """Stable instances of variants that are stable no more."""


class StableKeeper:
    """Starts missing stable instances and retires superfluous ones."""

    def __init__(self, database: Database, hearing: Hearing, fleet: StableFleet) -> None:
        """`fleet` has adopted what an earlier control plane left."""
        self._database = database
        self._hearing = hearing
        self._fleet = fleet
        self._failures: dict[tuple[str, str], int] = {}
        self._starting: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Look and act until cancelled."""
        with self._hearing.subscribed(CHANNEL_INSTANCES, CHANNEL_ROUTES) as news:
            async with asyncio.TaskGroup() as starts:
                while True:
                    await self._look(starts)
                    await news.wait(LOOK_S)

    async def _look(self, starts: asyncio.TaskGroup) -> None:
        async with self._database.unit_of_work() as session:
            due = await fetch_due(session)
        for place in due.missing:
            if place not in self._starting:
                self._starting.add(place)
                starts.create_task(self._start(*place))
        for instance_id in due.superfluous:
            await self._fleet.retire(instance_id)

    async def _start(self, lineage: str, variant: str) -> None:
        place = (lineage, variant)
        try:
            await self._fleet.ensure(lineage, variant, "stable")
            self._failures.pop(place, None)
        except OError as error:
            failures = self._failures[place] = self._failures.get(place, 0) + 1
            await self._record(lineage, variant, error)
            await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** (failures - 1), LAST_PAUSE_S))
        finally:
            self._starting.discard(place)

    async def _record(self, lineage: str, variant: str, error: OError) -> None:
        message = f"no stable instance of {lineage!r} ({variant[:12]}): {error.message}"
        _log.error(message, extra={"code": error.code})
        async with self._database.unit_of_work() as session:
            data = {"variant": variant, "code": error.code, "error": error.message}
            session.add(Event(kind="stable_missing", subject=lineage, message=message, data=data))


async def fetch_due(session: AsyncSession) -> Due:
    """What is missing and what is superfluous, as the rows say."""
    running = exists().where(
        Instance.lineage == Lineage.name,
        Instance.variant == Lineage.stable_variant,
        Instance.role == "stable",
        Instance.wanted,
        Instance.status.in_(("starting", "ready")),
    )
    missing = await session.execute(
        select(Lineage.name, Lineage.stable_variant).where(
            Lineage.stable_variant.is_not(None), ~running
        )
    )
    active = exists().where(Rollout.lineage == Instance.lineage, Rollout.finished_at.is_(None))
    ready = exists().where(
        Instance.lineage == Lineage.name,
        Instance.variant == Lineage.stable_variant,
        Instance.role == "stable",
        Instance.wanted,
        Instance.status == "ready",
    )
    superfluous = await session.scalars(
        select(Instance.id)
        .join(Lineage, Lineage.name == Instance.lineage)
        .where(
            Instance.role == "stable", Instance.wanted, ~active,
            Instance.variant != Lineage.stable_variant,
            Lineage.name.in_(select(Lineage.name).where(ready)),
        )
    )  # fmt: skip
    return Due([(name, str(variant)) for name, variant in missing], list(superfluous))
