"""Brings instances up and down, and their rows with them.

A row is written before its container exists and outlives it. What fails on the way up is taken
down again, and the row says why. A row that was ready stays so while its container is replaced: its
routes hold, and requests wait for it in Envoy's retries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from o_platform.db.engine import Database
from o_platform.db.models import Instance
from o_platform.errors import NotReadyError, OError
from o_platform.images.repository import fetch_genome, fetch_origin, save_image
from o_platform.runtimes.launcher import Launcher
from o_platform.runtimes.protocol import InstanceSpec, Placement
from o_platform.runtimes.repository import (
    mark_failed,
    mark_ready,
    mark_stopped,
    mark_stopping,
    update_instance,
)
from o_platform.settings import Limits

GRACE_S = 10.0
"""What an instance gets to finish its turns before it is killed."""


class Keeper:
    """Keeps rows of instances and what runs of them together."""

    def __init__(self, database: Database, launcher: Launcher, arguments: tuple[str, ...]) -> None:
        """`arguments`: what interpreters of instances are started with."""
        self.database = database
        self.launcher = launcher
        self.runtime = launcher.runtime
        self.in_flight: set[str] = set()
        """Ids of instances that somebody here is bringing up or down."""
        self._arguments = arguments

    @contextmanager
    def claimed(self, instance_id: str) -> Iterator[None]:
        """While this lasts nobody else here touches the instance."""
        mine = instance_id not in self.in_flight
        self.in_flight.add(instance_id)
        try:
            yield
        finally:
            if mine:
                self.in_flight.discard(instance_id)

    async def spec_of(self, row: Instance) -> InstanceSpec:
        """What it takes to start the instance of a row."""
        async with self.database.unit_of_work() as session:
            genome = await fetch_genome(session, row.variant)
            origin = await fetch_origin(session, row.variant)
        return InstanceSpec(
            id=row.id,
            genome=genome,
            role=row.role,  # type: ignore[arg-type]
            limits=Limits(**row.limits),
            origin=origin,
            arguments=self._arguments,
        )

    async def bring_up(self, spec: InstanceSpec) -> None:
        """Start the instance of a row, and return when it is ready.

        Cancelled on the way it leaves what it started, for `adopt` or `give_up`.

        Raises:
            NotReadyError: it did not become ready; nothing of it runs, its folders are left.
            BuildError: its image cannot be built; likewise.
            ForbiddenError: the runtime refuses the genome; likewise.
            EngineUnavailableError: no engine answers; `adopt` cleans up when one does.
        """
        with self.claimed(spec.id):
            try:
                await self._start(spec)
            except OError:
                await self.take_down(spec.id)
                raise

    async def give_up(self, instance_id: str, reason: str) -> None:
        """Mark a row failed, for good, and end whatever runs of it."""
        with self.claimed(instance_id):
            async with self.database.unit_of_work() as session:
                await mark_failed(session, instance_id, reason)
            await self.take_down(instance_id)
            self.launcher.folders.remove(instance_id)

    async def end(self, instance_id: str, grace_s: float = GRACE_S) -> None:
        """End an instance that is not wanted any more."""
        with self.claimed(instance_id):
            async with self.database.unit_of_work() as session:
                await mark_stopping(session, instance_id)
            await self.take_down(instance_id, grace_s)
            self.launcher.folders.remove(instance_id)
            async with self.database.unit_of_work() as session:
                await mark_stopped(session, instance_id)

    async def take_down(self, instance_id: str, grace_s: float = 0.0) -> None:
        """End whatever runs of an instance.

        Its row and its folders stay: while it is wanted, the bridge listens in one of them.
        """
        for placement in await self.runtime.owned():
            if placement.instance_id == instance_id:
                await self.launcher.end(placement, grace_s)

    async def _start(self, spec: InstanceSpec) -> None:
        self.launcher.make_folders(spec)
        image = await self.launcher.prepare(spec)
        placement = await self.launcher.start(spec)
        async with self.database.unit_of_work() as session:
            if image is not None:
                await save_image(
                    session, spec.genome.digest, image.base_id, image.image_id, image.build_s
                )
            await update_instance(
                session, spec.id, handle=placement.handle, runtime=self.runtime.name
            )
        await self.launcher.await_ready(placement)
        async with self.database.unit_of_work() as session:
            await mark_ready(session, spec.id)


def placement_of(row: Instance) -> Placement | None:
    """Where the instance of a row is, or was; None when it never was anywhere."""
    return Placement(row.id, row.handle) if row.handle else None


def describe_failure(spec: InstanceSpec, error: OError) -> OError:
    """The error with the variant and role it is about."""
    if isinstance(error, NotReadyError):
        return NotReadyError(
            f"variant {spec.genome.digest[:12]} as {spec.role} is not ready: {error.message}",
            instance=spec.id,
            variant=spec.genome.digest,
        )
    return error
