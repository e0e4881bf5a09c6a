"""All instances of this platform: started, found again, watched and retired.

The one place that starts instances. Asked for one that is there already it returns that one; a
failure on the way leaves a row that says why, and nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary

from o_contracts.bridge import Role
from o_platform.db.engine import Database
from o_platform.db.models import Instance
from o_platform.errors import NotReadyError, OError
from o_platform.images.repository import fetch_genome, fetch_origin
from o_platform.runtimes.adoption import Adoption, adopt
from o_platform.runtimes.folders import InstanceFolders
from o_platform.runtimes.keeper import GRACE_S, Keeper, describe_failure, placement_of
from o_platform.runtimes.launcher import Launcher
from o_platform.runtimes.protocol import AGENT_ARGUMENTS, InstanceSpec, Runtime, Usage
from o_platform.runtimes.readiness import READY_S
from o_platform.runtimes.repository import (
    OOM,
    count_events,
    fetch_instance,
    find_ready,
    insert_instance,
    list_instances,
)
from o_platform.runtimes.watcher import Watcher
from o_platform.settings import Limits, Settings


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance as the rest of the platform sees it."""

    id: str
    lineage: str
    variant: str
    role: str
    status: str
    rollout_id: str | None
    runtime: str
    limits: Limits
    agent_socket: Path
    bridge_socket: Path
    detail: str | None
    created_at: datetime
    ready_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Need:
    """What is asked for; equal needs are met by one instance."""

    lineage: str
    variant: str
    role: Role
    rollout_id: str | None


class Fleet:
    """Every instance of one home, in one runtime."""

    def __init__(
        self,
        database: Database,
        runtime: Runtime,
        settings: Settings,
        *,
        arguments: tuple[str, ...] = AGENT_ARGUMENTS,
        ready_timeout_s: float = READY_S,
    ) -> None:
        """`arguments`: what interpreters of instances are started with."""
        self.runtime = runtime
        self._database = database
        self._limits = settings.limits
        self._arguments = arguments
        self._folders = InstanceFolders(settings.run)
        self._launcher = Launcher(runtime, settings, ready_timeout_s)
        self._keeper = Keeper(database, self._launcher, arguments)
        self._locks: WeakValueDictionary[_Need, asyncio.Lock] = WeakValueDictionary()

    async def ensure(
        self,
        lineage: str,
        variant: str,
        role: Role,
        rollout_id: str | None = None,
        limits: Limits | None = None,
        *,
        fresh: bool = False,
    ) -> InstanceView:
        """A ready instance for just this; started if there is none, or always if `fresh`.

        Args:
            lineage: name of the lineage it serves.
            variant: full digest of the variant.
            role: what it is for.
            rollout_id: the rollout it belongs to.
            limits: what a new one may use; None: as the settings say.
            fresh: start a new one even if there is one.

        Raises:
            NotFoundError: unknown variant.
            NotReadyError: it did not become ready; says why, with what it printed last.
            BuildError: its image cannot be built.
            ForbiddenError: the runtime refuses the genome.
            EngineUnavailableError: no engine answers.
        """
        need = _Need(lineage, variant, role, rollout_id)
        lock = self._locks.setdefault(need, asyncio.Lock())
        async with lock:
            found = None if fresh else await self._find(need)
            return found or await self._start(need, limits or self._limits)

    async def retire(self, instance_id: str, grace_s: float = GRACE_S) -> None:
        """End an instance for good; nothing happens when it has ended already.

        The caller has taken it out of the routes before; it gets `grace_s` seconds to finish.

        Raises:
            NotFoundError: there is no such instance.
            EngineUnavailableError: no engine answers; `adopt` ends it when one does.
        """
        async with self._database.unit_of_work() as session:
            row = await fetch_instance(session, instance_id)
        if row.status not in ("stopped", "failed"):
            await self._keeper.end(instance_id, grace_s)

    async def adopt(self) -> Adoption:
        """Bring what runs in line with what is wanted; call once at the start.

        Raises:
            EngineUnavailableError: no engine answers.
        """
        return await adopt(self._keeper)

    async def watch(self) -> None:
        """Watch instances until cancelled: record deaths, restart stable ones, fail others."""
        await Watcher(self._keeper).run()

    async def list(self, lineage: str | None = None) -> list[InstanceView]:
        """The wanted instances, oldest first."""
        async with self._database.unit_of_work() as session:
            rows = await list_instances(session, lineage)
        return [self._view(row) for row in rows]

    async def get(self, instance_id: str) -> InstanceView:
        """One instance.

        Raises:
            NotFoundError: there is no such instance.
        """
        async with self._database.unit_of_work() as session:
            return self._view(await fetch_instance(session, instance_id))

    async def usage(self, instance_id: str) -> Usage:
        """What an instance uses; `oom_kills` counts those of its earlier containers, too.

        Raises:
            NotFoundError: there is no such instance.
        """
        async with self._database.unit_of_work() as session:
            row = await fetch_instance(session, instance_id)
            recorded = await count_events(session, OOM, instance_id)
        placement = placement_of(row)
        usage = await self.runtime.usage(placement) if placement else Usage()
        return replace(usage, oom_kills=max(usage.oom_kills, recorded))

    async def logs(self, instance_id: str, tail: int = 200) -> str:
        """The last lines an instance printed, also of one that has ended.

        Raises:
            NotFoundError: there is no such instance.
        """
        async with self._database.unit_of_work() as session:
            row = await fetch_instance(session, instance_id)
        return await self._launcher.logs(placement_of(row), instance_id, tail)

    async def _find(self, need: _Need) -> InstanceView | None:
        async with self._database.unit_of_work() as session:
            row = await find_ready(session, need.lineage, need.variant, need.role, need.rollout_id)
        placement = placement_of(row) if row else None
        if row is None or placement is None:
            return None
        try:
            await self._launcher.await_ready(placement)
        except NotReadyError as error:
            await self._keeper.give_up(row.id, error.message)
            return None
        return self._view(row)

    async def _start(self, need: _Need, limits: Limits) -> InstanceView:
        async with self._database.unit_of_work() as session:
            genome = await fetch_genome(session, need.variant)
            origin = await fetch_origin(session, need.variant)
        spec = InstanceSpec(
            id=secrets.token_hex(6),
            genome=genome,
            role=need.role,
            limits=limits,
            origin=origin,
            arguments=self._arguments,
        )
        with self._keeper.claimed(spec.id):
            self._launcher.make_folders(spec)
            await self._insert(need, spec)
            try:
                await self._keeper.bring_up(spec)
            except OError as error:
                explained = describe_failure(spec, error)
                await self._keeper.give_up(spec.id, explained.message)
                raise explained from error
            except BaseException:
                await self._keeper.give_up(spec.id, "its start was interrupted")
                raise
        return await self.get(spec.id)

    async def _insert(self, need: _Need, spec: InstanceSpec) -> None:
        row = Instance(
            id=spec.id,
            lineage=need.lineage,
            variant=need.variant,
            role=need.role,
            runtime=self.runtime.name,
            status="starting",
            wanted=True,
            rollout_id=need.rollout_id,
            limits=spec.limits.model_dump(),
        )
        async with self._database.unit_of_work() as session:
            await insert_instance(session, row)

    def _view(self, row: Instance) -> InstanceView:
        return InstanceView(
            id=row.id,
            lineage=row.lineage,
            variant=row.variant,
            role=row.role,
            status=row.status,
            rollout_id=row.rollout_id,
            runtime=row.runtime,
            limits=Limits(**row.limits),
            agent_socket=self._folders.agent_socket(row.id),
            bridge_socket=self._folders.bridge_socket(row.id),
            detail=row.detail,
            created_at=row.created_at,
            ready_at=row.ready_at,
        )
