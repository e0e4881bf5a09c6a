"""`/o/v1/instances` and `/o/v1/events`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from o_platform.api.deps import DatabaseDep, PlatformDep
from o_platform.api.fields import MAX_INT64
from o_platform.api.operators import repository
from o_platform.api.operators.repository import EventFilter
from o_platform.api.operators.schemas import (
    EventState,
    InstanceLogs,
    InstanceState,
    event_state,
    instance_state,
)

router = APIRouter(prefix="/o/v1", tags=["operators"])
MAX_LISTED = 1000


@router.get("/instances")
async def list_instances(
    database: DatabaseDep,
    lineage: str | None = None,
    wanted: Annotated[bool, Query(description="false: also those that have ended")] = True,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
) -> list[InstanceState]:
    """List instances, the newest first."""
    async with database.unit_of_work() as session:
        rows = await repository.list_instances(session, lineage=lineage, wanted=wanted, limit=limit)
    return [instance_state(row) for row in rows]


@router.get("/instances/{instance_id}/logs")
async def instance_logs(
    instance_id: str,
    platform: PlatformDep,
    tail: Annotated[int, Query(ge=1, le=10_000, description="lines")] = 200,
) -> InstanceLogs:
    """The last lines that an instance printed."""
    text = await platform.ground.fleet.logs(instance_id, tail)
    return InstanceLogs(id=instance_id, text=text)


@router.get("/events")
async def list_events(
    database: DatabaseDep,
    kind: str | None = None,
    subject: str | None = None,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_INT64, description="only ids above this one")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
) -> list[EventState]:
    """List events, the newest first; with `after` the oldest first, for following."""
    async with database.unit_of_work() as session:
        rows = await repository.list_events(session, EventFilter(kind, subject, after, limit))
    return [event_state(row) for row in rows]
