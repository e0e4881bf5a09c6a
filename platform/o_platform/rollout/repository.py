"""Rollouts and their events: all queries on those tables, and on the instances of a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.models import Event, Instance, Lineage, Rollout, RolloutEvent
from o_platform.errors import ConflictError, NotFoundError


async def insert_rollout(session: AsyncSession, row: Rollout) -> None:
    """Store a new rollout.

    Raises:
        ConflictError: another one of the lineage has not ended; names it.
    """
    running = await active_rollout(session, row.lineage)
    if running is not None:
        raise already_running(row.lineage, running.id)
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        running = await active_rollout(session, row.lineage)
        raise already_running(row.lineage, running.id if running else "another") from error


def already_running(lineage: str, rollout_id: str) -> ConflictError:
    """The error of a second rollout in one lineage."""
    return ConflictError(
        f"rollout {rollout_id} of lineage {lineage!r} has not ended; wait for it, or "
        f"`o rollout abort {rollout_id}`",
        rollout_id=rollout_id,
    )


async def active_rollout(session: AsyncSession, lineage: str) -> Rollout | None:
    """The rollout of a lineage that has not ended, if there is one."""
    query = select(Rollout).where(Rollout.lineage == lineage, Rollout.finished_at.is_(None))
    return (await session.scalars(query)).first()


async def active_rollouts(session: AsyncSession) -> Sequence[Rollout]:
    """Every rollout that has not ended."""
    return (await session.scalars(select(Rollout).where(Rollout.finished_at.is_(None)))).all()


async def fetch_rollout(session: AsyncSession, rollout_id: str, *, lock: bool = False) -> Rollout:
    """The rollout with this id; `lock` keeps others from changing it in this transaction.

    Raises:
        NotFoundError: there is none.
    """
    query = select(Rollout).where(Rollout.id == rollout_id)
    query = query.with_for_update() if lock else query
    row = (await session.scalars(query)).first()
    if row is None:
        raise NotFoundError(f"no rollout {rollout_id!r}; see `o rollout history`")
    return row


async def fetch_intent(session: AsyncSession, rollout_id: str) -> str | None:
    """What an operator asked for and was not carried out yet."""
    return await session.scalar(select(Rollout.intent).where(Rollout.id == rollout_id))


async def list_rollouts(
    session: AsyncSession, lineage: str | None = None, limit: int = 50
) -> Sequence[Rollout]:
    """Rollouts, newest first."""
    query = select(Rollout).order_by(Rollout.created_at.desc(), Rollout.id).limit(limit)
    if lineage is not None:
        query = query.where(Rollout.lineage == lineage)
    return (await session.scalars(query)).all()


async def list_events(session: AsyncSession, rollout_id: str) -> Sequence[RolloutEvent]:
    """The events of a rollout, oldest first."""
    query = select(RolloutEvent).where(RolloutEvent.rollout_id == rollout_id)
    return (await session.scalars(query.order_by(RolloutEvent.id))).all()


def add_event(
    session: AsyncSession,
    row: Rollout,
    at: datetime,
    *,
    gate: str | None,
    evidence: dict[str, Any],
) -> None:
    """Record that the rollout came into its present state, and at which gate that was decided."""
    session.add(
        RolloutEvent(
            rollout_id=row.id,
            at=at,
            state=row.state,
            gate=gate,
            reason=row.reason,
            message=row.message,
            evidence=evidence,
        )
    )


def add_notice(session: AsyncSession, row: Rollout) -> None:
    """Tell operators that a rollout came to its end."""
    session.add(
        Event(
            kind=f"rollout_{row.state}",
            subject=row.id,
            message=row.message,
            data={"lineage": row.lineage, "variant": row.variant, "gate": row.gate},
        )
    )


async def instances_of(session: AsyncSession, rollout_id: str) -> Sequence[Instance]:
    """The rollout's instances that are wanted."""
    query = select(Instance).where(Instance.rollout_id == rollout_id, Instance.wanted)
    return (await session.scalars(query)).all()


async def stable_instances(session: AsyncSession, lineage: str, variant: str) -> Sequence[str]:
    """Ids of a lineage's wanted instances in the role `stable` that run `variant`."""
    query = select(Instance.id).where(
        Instance.lineage == lineage,
        Instance.role == "stable",
        Instance.variant == variant,
        Instance.wanted,
    )
    return (await session.scalars(query)).all()


async def former_stable_instances(
    session: AsyncSession, lineage: str, variant: str
) -> Sequence[str]:
    """Ids of a lineage's wanted stable instances that run anything but `variant`."""
    query = select(Instance.id).where(
        Instance.lineage == lineage,
        Instance.role == "stable",
        Instance.variant != variant,
        Instance.wanted,
    )
    return (await session.scalars(query)).all()


async def fetch_instance(session: AsyncSession, instance_id: str) -> Instance | None:
    """An instance's row, if there is one."""
    return await session.get(Instance, instance_id, populate_existing=True)


async def lock_stable_variant(session: AsyncSession, lineage: str) -> str | None:
    """Digest of the lineage's stable variant; nobody changes it before this transaction ends."""
    query = select(Lineage.stable_variant).where(Lineage.name == lineage).with_for_update()
    return await session.scalar(query)
