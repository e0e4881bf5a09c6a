"""What API, CLI and evolution do with rollouts.

An operator's wish is written to the row first; the workflow carries it out. An abort does not wait
for the workflow: the same transaction takes the variant out of the routes, and the call returns
when Envoy confirmed them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.clock import Clock
from o_platform.db.engine import CHANNEL_ROUTES, Database, announce
from o_platform.db.models import Rollout
from o_platform.errors import ConflictError
from o_platform.images.repository import fetch_stable, resolve, set_status
from o_platform.rollout import repository
from o_platform.rollout.case import Case, first_data
from o_platform.rollout.enforcement import clear_routes, restore_baseline
from o_platform.rollout.machine import initial
from o_platform.rollout.policy import PRESETS, Policy, find_policy
from o_platform.rollout.ports import TrafficPort
from o_platform.rollout.signals import Signals
from o_platform.rollout.states import Hold, Intent, Reason, State
from o_platform.rollout.views import RolloutEventView, RolloutView, event_view, rollout_view

MAX_LISTED: Final = 500

Begin = Callable[[str], Awaitable[None]]
"""Starts the workflow of a rollout unless it is there, or wakes it."""


class RolloutService:
    """Starts, steers and shows rollouts."""

    def __init__(
        self,
        database: Database,
        traffic: TrafficPort,
        signals: Signals,
        clock: Clock,
        *,
        begin: Begin,
        wake: Begin,
    ) -> None:
        """`begin` starts the workflow of a stored rollout, `wake` makes a waiting one look."""
        self._database = database
        self._traffic = traffic
        self._signals = signals
        self._clock = clock
        self._begin = begin
        self._wake = wake

    def policies(self) -> list[Policy]:
        """The named policies."""
        return list(PRESETS.values())

    async def start(self, lineage: str, variant: str, policy: str | Policy, by: str) -> RolloutView:
        """Start a rollout; asked again by the same caller for the same variant, return it.

        Args:
            lineage: name of the lineage.
            variant: digest of the variant, or a unique prefix of 4 or more digits.
            policy: name of a preset, or a policy of one's own.
            by: who asks, for the record.

        Raises:
            BadInputError: unknown policy, or a malformed digest.
            NotFoundError: unknown lineage or variant.
            ConflictError: another rollout of the lineage is running (names it), or the variant is
                its stable one already.
        """
        rules = find_policy(policy) if isinstance(policy, str) else policy
        async with self._database.unit_of_work() as session:
            digest = await resolve(session, variant)
            baseline = await fetch_stable(session, lineage)
            row = await repository.active_rollout(session, lineage)
            if row is None or (row.variant, row.created_by) != (digest, by):
                row = self._new_row(lineage, digest, baseline, rules, by)
                await self._insert(session, row)
            view = rollout_view(row)
        await self._begin(view.id)
        return view

    async def abort(self, rollout_id: str, by: str) -> RolloutView:
        """End a rollout; when this returns, no new request reaches the variant.

        Raises:
            NotFoundError: no such rollout.
            ConflictError: it has ended already.
            TrafficError: Envoy did not confirm; the routes are tried again in the background.
        """
        async with self._database.unit_of_work() as session:
            row, state = await _open(session, rollout_id)
            _ask(row, Intent.ABORT, by)
            if state.switched:
                await restore_baseline(session, row)
            else:
                clear_routes(row)
                await announce(session, CHANNEL_ROUTES, row.lineage)
            view = rollout_view(row)
        self._signals.notify(rollout_id)
        try:
            await self._traffic.apply()
        finally:
            await self._wake(rollout_id)
        return view

    async def pause(self, rollout_id: str, by: str) -> RolloutView:
        """Hold a rollout where it is; live shares stay, and are still judged.

        Raises:
            NotFoundError: no such rollout.
            ConflictError: it has ended, is paused, or another wish is being carried out.
        """
        return await self._wish(rollout_id, Intent.PAUSE, by)

    async def resume(self, rollout_id: str, by: str) -> RolloutView:
        """Let a paused rollout go on, or withdraw a pause that waits for the end of a gate.

        Raises:
            NotFoundError: no such rollout.
            ConflictError: it has ended, is not paused, or another wish is being carried out.
        """
        return await self._wish(rollout_id, Intent.RESUME, by)

    async def approve(self, rollout_id: str, by: str) -> RolloutView:
        """Allow the promotion, now or in advance; the gates still have to pass.

        Raises:
            NotFoundError: no such rollout.
            ConflictError: it has ended, is approved, or another wish is being carried out.
        """
        return await self._wish(rollout_id, Intent.APPROVE, by)

    async def status(self, rollout_id: str) -> RolloutView:
        """One rollout.

        Raises:
            NotFoundError: no such rollout.
        """
        async with self._database.unit_of_work() as session:
            return rollout_view(await repository.fetch_rollout(session, rollout_id))

    async def active(self) -> list[RolloutView]:
        """The rollouts that have not ended."""
        async with self._database.unit_of_work() as session:
            return [rollout_view(row) for row in await repository.active_rollouts(session)]

    async def history(self, lineage: str | None = None, limit: int = 50) -> list[RolloutView]:
        """Rollouts of a lineage, or all, newest first."""
        async with self._database.unit_of_work() as session:
            rows = await repository.list_rollouts(session, lineage, min(limit, MAX_LISTED))
            return [rollout_view(row) for row in rows]

    async def events(self, rollout_id: str) -> list[RolloutEventView]:
        """The transitions of a rollout, oldest first.

        Raises:
            NotFoundError: no such rollout.
        """
        async with self._database.unit_of_work() as session:
            await repository.fetch_rollout(session, rollout_id)
            return [event_view(row) for row in await repository.list_events(session, rollout_id)]

    def _new_row(
        self, lineage: str, variant: str, baseline: str, policy: Policy, by: str
    ) -> Rollout:
        now = self._clock.now()
        state = initial(policy, now)
        return Rollout(
            id=new_id("rollout"),
            lineage=lineage,
            variant=variant,
            baseline=baseline,
            policy=policy.model_dump(mode="json"),
            state=state.name,
            gate=None,
            reason=Reason.CREATED,
            message=f"created by {by}",
            weight_permille=0,
            mirror_permille=0,
            data=first_data(state),
            created_by=by,
            created_at=now,
            updated_at=now,
        )

    async def _insert(self, session: AsyncSession, row: Rollout) -> None:
        if row.variant == row.baseline:
            raise ConflictError(
                f"variant {row.variant[:12]} is the stable one of {row.lineage!r} already",
                variant=row.variant,
            )
        await repository.insert_rollout(session, row)
        await set_status(session, row.lineage, row.variant, "candidate")
        repository.add_event(session, row, row.created_at, gate=None, evidence={})

    async def _wish(self, rollout_id: str, intent: Intent, by: str) -> RolloutView:
        async with self._database.unit_of_work() as session:
            row, state = await _open(session, rollout_id)
            if intent is Intent.RESUME and row.intent == Intent.PAUSE:
                row.intent = None
                return rollout_view(row)
            _check_sense(rollout_id, state, intent)
            if row.intent not in {None, intent.value}:
                raise ConflictError(
                    f"rollout {rollout_id}: `{row.intent}` is being carried out, which may take "
                    f"until the end of the gate it is in ({row.gate or 'none'}); try again then",
                    intent=row.intent,
                )
            _ask(row, intent, by)
            view = rollout_view(row)
        self._signals.notify(rollout_id)
        await self._wake(rollout_id)
        return view


async def _open(session: AsyncSession, rollout_id: str) -> tuple[Rollout, State]:
    row = await repository.fetch_rollout(session, rollout_id, lock=True)
    state = Case.of(row).state
    if state.final or row.finished_at is not None:
        raise ConflictError(
            f"rollout {rollout_id} has ended ({row.state}): {row.message}", state=row.state
        )
    return row, state


def _ask(row: Rollout, intent: Intent, by: str) -> None:
    row.intent = intent
    row.data = {**row.data, "by": by}


def _check_sense(rollout_id: str, state: State, intent: Intent) -> None:
    paused = state.hold is Hold.PAUSED
    if intent is Intent.PAUSE and paused:
        raise ConflictError(f"rollout {rollout_id} is paused already")
    if intent is Intent.RESUME and not paused:
        raise ConflictError(f"rollout {rollout_id} is not paused")
    if intent is Intent.APPROVE and state.approved:
        raise ConflictError(f"rollout {rollout_id} is approved already")
