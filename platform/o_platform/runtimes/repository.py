"""Rows of instances, and the events about them.

Every change is announced: to the bridge, which listens for each wanted instance, and to the
traffic controller, which routes to the ready ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.engine import CHANNEL_INSTANCES, CHANNEL_ROUTES, announce
from o_platform.db.models import Event, Instance
from o_platform.errors import NotFoundError

OOM = "instance.oom"
"""Event: a process of an instance was killed because memory ran out."""
DIED = "instance.died"
"""Event: an instance's main process ended though nobody asked it to."""
FAILED = "instance.failed"
"""Event: an instance was given up."""


async def insert_instance(session: AsyncSession, instance: Instance) -> None:
    """Add a row and announce it."""
    session.add(instance)
    await session.flush()
    await _announce(session, instance.id, instance.lineage)


async def fetch_instance(session: AsyncSession, instance_id: str) -> Instance:
    """One instance.

    Raises:
        NotFoundError: there is none with this id.
    """
    instance = await session.get(Instance, instance_id, populate_existing=True)
    if instance is None:
        raise NotFoundError(f"no instance {instance_id}; see `o status`", instance=instance_id)
    return instance


async def find_ready(
    session: AsyncSession, lineage: str, variant: str, role: str, rollout_id: str | None
) -> Instance | None:
    """The newest ready instance that was started for just this."""
    statement = (
        select(Instance)
        .where(
            Instance.wanted,
            Instance.status == "ready",
            Instance.lineage == lineage,
            Instance.variant == variant,
            Instance.role == role,
            Instance.rollout_id.is_not_distinct_from(rollout_id),
        )
        .order_by(Instance.created_at.desc())
        .limit(1)
    )
    return await session.scalar(statement)


async def list_instances(
    session: AsyncSession, lineage: str | None = None, *, wanted: bool | None = True
) -> Sequence[Instance]:
    """Instances, oldest first; `wanted` None: those that are not wanted any more, too."""
    statement = select(Instance).order_by(Instance.created_at, Instance.id)
    if lineage is not None:
        statement = statement.where(Instance.lineage == lineage)
    if wanted is not None:
        statement = statement.where(Instance.wanted == wanted)
    return (await session.scalars(statement)).all()


async def list_unfinished(session: AsyncSession) -> Sequence[Instance]:
    """Instances that are wanted, and those whose end was not seen through."""
    statement = select(Instance).where(Instance.wanted | (Instance.status == "stopping"))
    return (await session.scalars(statement.order_by(Instance.created_at))).all()


async def update_instance(session: AsyncSession, instance_id: str, **values: Any) -> None:
    """Change columns of a row and announce it.

    Raises:
        NotFoundError: there is none with this id.
    """
    statement = (
        update(Instance)
        .where(Instance.id == instance_id)
        .values(**values)
        .returning(Instance.lineage)
    )
    lineage = await session.scalar(statement)
    if lineage is None:
        raise NotFoundError(f"no instance {instance_id}; see `o status`", instance=instance_id)
    await _announce(session, instance_id, lineage)


async def mark_ready(session: AsyncSession, instance_id: str) -> None:
    """It answers."""
    await update_instance(
        session, instance_id, status="ready", ready_at=func.now(), detail=None, stopped_at=None
    )


async def mark_failed(session: AsyncSession, instance_id: str, detail: str) -> None:
    """It was given up; `detail` says why. Leaves an event."""
    await update_instance(
        session,
        instance_id,
        status="failed",
        wanted=False,
        detail=detail,
        stopped_at=func.now(),
    )
    await record_event(session, FAILED, instance_id, detail)


async def mark_stopping(session: AsyncSession, instance_id: str) -> None:
    """It is not wanted any more."""
    await update_instance(session, instance_id, status="stopping", wanted=False)


async def mark_stopped(session: AsyncSession, instance_id: str) -> None:
    """Nothing of it is left."""
    await update_instance(session, instance_id, status="stopped", stopped_at=func.now())


async def record_event(
    session: AsyncSession, kind: str, instance_id: str, message: str, **data: Any
) -> None:
    """Something an operator wants to know about an instance."""
    session.add(Event(kind=kind, subject=instance_id, message=message, data=data))
    await session.flush()


async def count_events(session: AsyncSession, kind: str, instance_id: str) -> int:
    """How often something happened to an instance."""
    statement = select(func.count()).where(Event.kind == kind, Event.subject == instance_id)
    return await session.scalar(statement) or 0


async def _announce(session: AsyncSession, instance_id: str, lineage: str) -> None:
    await announce(session, CHANNEL_INSTANCES, instance_id)
    await announce(session, CHANNEL_ROUTES, lineage)
