"""Carries out the effects of a rollout's state; each may be applied any number of times.

Routes are changed in one transaction that locks the rollout's row and looks whether an abort came
in meanwhile, so that a decision made a moment earlier can never bring an aborted variant back.
"""

from __future__ import annotations

from typing import assert_never

from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.engine import CHANNEL_ROUTES, Database, announce
from o_platform.db.models import Rollout
from o_platform.errors import BuildError, ForbiddenError, NotFoundError, NotReadyError
from o_platform.images.repository import set_status
from o_platform.rollout import repository
from o_platform.rollout.case import Case
from o_platform.rollout.effects import (
    Compare,
    Effect,
    Ensure,
    Free,
    Mark,
    RetireBaseline,
    Route,
    Stable,
)
from o_platform.rollout.ports import FleetPort, TrafficPort
from o_platform.rollout.states import Intent


class OvertakenError(Exception):
    """The row changed since it was read; read it again and decide anew."""


class Enforcer:
    """Makes true what a state wants to be true."""

    def __init__(self, database: Database, fleet: FleetPort, traffic: TrafficPort) -> None:
        """Nothing happens before `enforce`."""
        self._database = database
        self._fleet = fleet
        self._traffic = traffic

    async def enforce(self, case: Case, effect: Effect) -> None:
        """Carry out one effect.

        Raises:
            OvertakenError: an abort came in; nothing was changed.
            NotReadyError, BuildError, ForbiddenError: an instance could not be started.
            UnavailableError, TrafficError: a part of the platform is away; try again.
        """
        match effect:
            case Ensure():
                await self._ensure(case, effect)
            case Route():
                await self._route(case, effect)
            case Compare(mirror_permille):
                await self._compare(case, mirror_permille)
            case Stable("candidate"):
                await self._promote(case)
            case Stable():
                await self._restore(case)
            case Free(keep):
                await self._free(case, keep)
            case RetireBaseline():
                await self._retire_baseline(case)
            case Mark(status):
                async with self._database.unit_of_work() as session:
                    await set_status(session, case.lineage, case.candidate, status)
            case _:
                assert_never(effect)

    async def _ensure(self, case: Case, effect: Ensure) -> None:
        """A stable instance belongs to the lineage, the others to the rollout."""
        owner = None if effect.role == "stable" else case.rollout_id
        instance = await self._fleet.ensure(case.lineage, case.candidate, effect.role, owner)
        if effect.role == "canary":
            case.canary_instance = instance.id
        elif effect.role == "shadow":
            case.shadow_instance = instance.id

    async def _route(self, case: Case, effect: Route) -> None:
        async with self._database.unit_of_work() as session:
            row = await self._lock(session, case)
            row.weight_permille = effect.weight_permille
            row.mirror_permille = effect.mirror_permille
            row.canary_instance = case.canary_instance if effect.weight_permille else None
            row.shadow_instance = case.shadow_instance if effect.mirror_permille else None
            await announce(session, CHANNEL_ROUTES, case.lineage)
        await self._traffic.apply()

    async def _compare(self, case: Case, mirror_permille: int) -> None:
        """Asked for once: what could not be started is not waited for a second time."""
        case.shadow_instance = None
        if not case.uncompared:
            try:
                shadow = await self._fleet.ensure(
                    case.lineage, case.baseline, "shadow", case.rollout_id
                )
                case.shadow_instance = shadow.id
            except (NotReadyError, BuildError, ForbiddenError) as error:
                case.uncompared = f"no copy of the former variant runs: {error.message}"
        if mirror_permille:
            await self._route(case, Route(0, mirror_permille if case.shadow_instance else 0))

    async def _promote(self, case: Case) -> None:
        async with self._database.unit_of_work() as session:
            row = await self._lock(session, case)
            clear_routes(row)
            await set_status(session, case.lineage, case.candidate, "stable")
        await self._traffic.apply()

    async def _restore(self, case: Case) -> None:
        """First the routes, at once; then heal what they lead to, if it is not there."""
        async with self._database.unit_of_work() as session:
            row = await self._lock(session, case)
            await restore_baseline(session, row)
        await self._traffic.apply()
        await self._fleet.ensure(case.lineage, case.baseline, "stable")

    async def _free(self, case: Case, keep: str | None) -> None:
        async with self._database.unit_of_work() as session:
            own = await repository.instances_of(session, case.rollout_id)
            ids = [row.id for row in own if row.role != keep]
            if keep is None:
                ids += await repository.stable_instances(session, case.lineage, case.candidate)
        await self._retire(ids)

    async def _retire_baseline(self, case: Case) -> None:
        async with self._database.unit_of_work() as session:
            ids = await repository.former_stable_instances(session, case.lineage, case.candidate)
        await self._retire(list(ids))

    async def _retire(self, ids: list[str]) -> None:
        for instance_id in ids:
            try:
                await self._fleet.retire(instance_id)
            except NotFoundError:
                continue

    async def _lock(self, session: AsyncSession, case: Case) -> Rollout:
        row = await repository.fetch_rollout(session, case.rollout_id, lock=True)
        if row.intent == Intent.ABORT and not case.state.final:
            raise OvertakenError
        return row


def clear_routes(row: Rollout) -> None:
    """Nothing of the variant is reached as a canary or a shadow any more."""
    row.weight_permille = 0
    row.mirror_permille = 0
    row.canary_instance = None
    row.shadow_instance = None


async def restore_baseline(session: AsyncSession, row: Rollout) -> None:
    """Route everything to the baseline, unless another variant took the candidate's place."""
    clear_routes(row)
    if await repository.lock_stable_variant(session, row.lineage) == row.variant:
        await set_status(session, row.lineage, row.baseline, "stable")
    await announce(session, CHANNEL_ROUTES, row.lineage)
