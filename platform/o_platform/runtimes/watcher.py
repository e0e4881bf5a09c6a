"""Watches the runtime, and does what an instance's death asks for.

Every death and every out-of-memory kill becomes an event an operator can see. An engine restarts
what failed a few times by itself; when it has given up, a stable instance is started again under
its id, ever more slowly but for as long as it is wanted (its users have nothing else), while any
other is failed: its rollout decides.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal

from o_platform.db.models import Instance
from o_platform.errors import (
    DatabaseUnavailableError,
    EngineUnavailableError,
    NotFoundError,
    OError,
)
from o_platform.runtimes.adoption import adopt
from o_platform.runtimes.keeper import Keeper
from o_platform.runtimes.protocol import RuntimeEvent, State
from o_platform.runtimes.repository import DIED, OOM, fetch_instance, record_event

log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.1
_LAST_PAUSE_S: Final = 30.0
_FORGIVEN_AFTER_S: Final = 60.0

Fate = Literal["left alone", "started again", "failed"]


def fate_of(role: str, state: State | None) -> Fate:
    """What becomes of a wanted instance whose main process died, in this state now."""
    if state is not None and state.alive:
        return "left alone"
    return "started again" if role == "stable" else "failed"


def pause_s(deaths: int) -> float:
    """Seconds to wait before the start after `deaths` (>= 1) deaths in quick succession."""
    return float(min(_FIRST_PAUSE_S * 2 ** min(deaths - 1, 16), _LAST_PAUSE_S))


class Watcher:
    """Watches one runtime for as long as `run` runs."""

    def __init__(self, keeper: Keeper) -> None:
        """Nothing is watched before `run`."""
        self._keeper = keeper
        self._deaths: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    async with self._keeper.runtime.watch() as events:
                        if failures:  # what happened meanwhile shows in what is left
                            await adopt(self._keeper)
                        failures = 0
                        async for event in events:
                            await self._take(event, tasks)
                except OError as error:
                    failures += 1
                    log.error("instances are not watched: %s", error.message)
                    await asyncio.sleep(pause_s(failures))

    async def _take(self, event: RuntimeEvent, tasks: asyncio.TaskGroup) -> None:
        instance = {"instance": event.placement.instance_id}
        try:
            await self._handle(event, tasks)
        except NotFoundError:
            log.info("an instance without a row ended", extra=instance)
        except (EngineUnavailableError, DatabaseUnavailableError):
            raise
        except Exception:
            log.exception("event of an instance was not handled", extra=instance)

    async def _handle(self, event: RuntimeEvent, tasks: asyncio.TaskGroup) -> None:
        async with self._keeper.database.unit_of_work() as session:
            row = await fetch_instance(session, event.placement.instance_id)
        if not row.wanted or row.handle != event.placement.handle:
            return
        if event.kind == "oom":
            await self._record_oom(row)
        elif row.id not in self._keeper.in_flight:
            await self._handle_death(row, event, tasks)

    async def _record_oom(self, row: Instance) -> None:
        limit = row.limits.get("memory_bytes", 0)
        message = (
            f"a process of instance {row.id} ({row.role} of {row.variant[:12]}) was killed: "
            f"memory ran out at {limit // 2**20} MiB; raise `memory_bytes` or see `o logs {row.id}`"
        )
        async with self._keeper.database.unit_of_work() as session:
            await record_event(session, OOM, row.id, message, variant=row.variant, role=row.role)

    async def _handle_death(
        self, row: Instance, event: RuntimeEvent, tasks: asyncio.TaskGroup
    ) -> None:
        fate = fate_of(row.role, await self._keeper.runtime.state(event.placement))
        exit_code = event.exit_code
        code = "an unknown status" if exit_code is None else exit_code
        message = (
            f"instance {row.id} ({row.role} of {row.variant[:12]}) exited with {code}; "
            f"it is {'restarted by the engine' if fate == 'left alone' else fate}"
        )
        async with self._keeper.database.unit_of_work() as session:
            await record_event(
                session, DIED, row.id, message, exit_code=exit_code, variant=row.variant, fate=fate
            )
        match fate:
            case "started again":
                tasks.create_task(self._revive(row))
            case "failed":
                detail = await self._keeper.launcher.explain(event.placement, message)
                await self._keeper.give_up(row.id, detail)
            case "left alone":
                log.warning("%s", message)

    async def _revive(self, row: Instance) -> None:
        """Start it again until it is ready, or not wanted any more."""
        with self._keeper.claimed(row.id):
            while True:
                await asyncio.sleep(pause_s(self._count_death(row.id)))
                try:
                    if await self._is_wanted(row.id):
                        await self._keeper.bring_up(await self._keeper.spec_of(row))
                except OError as error:
                    log.error("instance %s is not back: %s", row.id, error.message)
                except Exception:
                    log.exception("instance %s is not back", row.id)
                else:
                    return

    def _count_death(self, instance_id: str) -> int:
        now = asyncio.get_running_loop().time()
        count, last = self._deaths.get(instance_id, (0, now))
        count = 1 if now - last > _FORGIVEN_AFTER_S else count + 1
        self._deaths[instance_id] = (count, now)
        return count

    async def _is_wanted(self, instance_id: str) -> bool:
        try:
            async with self._keeper.database.unit_of_work() as session:
                return (await fetch_instance(session, instance_id)).wanted
        except NotFoundError:
            return False
