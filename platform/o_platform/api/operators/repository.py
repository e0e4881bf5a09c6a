"""Queries behind the operator's listings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.models import Agent, Event, Instance, Lineage, LineageVariant, Variant
from o_platform.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list; `after` is an id, and makes the listing run forwards."""

    kind: str | None = None
    subject: str | None = None
    after: int | None = None
    limit: int = 100


async def fetch_lineage(session: AsyncSession, name: str) -> Lineage:
    """The lineage with this name.

    Raises:
        NotFoundError: there is none.
    """
    lineage = await session.get(Lineage, name)
    if lineage is None:
        raise NotFoundError(f"no lineage {name!r}; see `o status`", lineage=name)
    return lineage


async def fetch_variant(session: AsyncSession, digest: str) -> Variant:
    """The variant with this full digest, which exists."""
    return await session.get_one(Variant, digest)


async def fetch_statuses(session: AsyncSession, digest: str) -> dict[str, str]:
    """The variant's status by lineage."""
    places = select(LineageVariant).where(LineageVariant.digest == digest)
    return {place.lineage: place.status for place in await session.scalars(places)}


async def list_instances(
    session: AsyncSession, *, lineage: str | None, wanted: bool, limit: int
) -> Sequence[Instance]:
    """Instances, the newest first; only those that are to run if `wanted`."""
    statement = select(Instance).order_by(Instance.created_at.desc(), Instance.id).limit(limit)
    if lineage is not None:
        statement = statement.where(Instance.lineage == lineage)
    if wanted:
        statement = statement.where(Instance.wanted)
    return (await session.scalars(statement)).all()


async def recent_failures(session: AsyncSession, within: timedelta) -> dict[str, str]:
    """Why the last start of a lineage's stable instance failed, if it is not longer ago."""
    failures = (
        select(Event.subject, Event.data["error"].astext)
        .where(Event.kind == "stable_missing", Event.at > func.now() - within)
        .order_by(Event.id)
    )
    return {subject: error for subject, error in await session.execute(failures)}


async def list_events(session: AsyncSession, wanted: EventFilter) -> Sequence[Event]:
    """Events, the newest first; the oldest first after an id."""
    ordering = Event.id.desc() if wanted.after is None else Event.id.asc()
    statement = select(Event).order_by(ordering).limit(wanted.limit)
    if wanted.kind is not None:
        statement = statement.where(Event.kind == wanted.kind)
    if wanted.subject is not None:
        statement = statement.where(Event.subject == wanted.subject)
    if wanted.after is not None:
        statement = statement.where(Event.id > wanted.after)
    return (await session.scalars(statement)).all()


async def count_agents(session: AsyncSession) -> int:
    """How many agents there are."""
    return await session.scalar(select(func.count()).select_from(Agent)) or 0
