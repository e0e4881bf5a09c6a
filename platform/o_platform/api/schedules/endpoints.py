"""`/v1/agents/{id}/schedule`: turns at set times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from o_contracts.ids import new_id
from o_platform.agents import schedule_repository as repository
from o_platform.agents.schedules import first_time
from o_platform.agents.service import existing_agent
from o_platform.api.deps import DatabaseDep
from o_platform.api.fields import AgentPath
from o_platform.api.schedules.schemas import (
    ScheduleCreate,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduledMessage,
    ScheduleId,
    ScheduleList,
    ScheduleListQuery,
    scheduled_message,
)
from o_platform.db.engine import CHANNEL_SCHEDULES, announce
from o_platform.db.models import Schedule
from o_platform.errors import NotFoundError, NotOfferedError

router = APIRouter(prefix="/v1/agents/{agent_id}/schedule", tags=["schedules"])
SchedulePath = Annotated[ScheduleId, Path()]


@router.post("")
async def create_schedule(
    agent_id: AgentPath, body: ScheduleCreate, database: DatabaseDep
) -> ScheduleCreated:
    """Run a turn at a set time, or again and again; cron expressions are in UTC."""
    if body.callback_url:
        raise NotOfferedError("callbacks are not offered; read the agent's runs instead")
    schedule = Schedule(
        id=new_id("schedule"),
        agent_id=agent_id,
        rule=body.rule(),
        turn=body.turn(),
        next_at=first_time(body.rule(), datetime.now(UTC)),
    )
    async with database.unit_of_work() as session:
        await existing_agent(session, agent_id)
        session.add(schedule)
        await announce(session, CHANNEL_SCHEDULES, schedule.id)
    return ScheduleCreated(id=schedule.id, next_scheduled_at=schedule.next_at)


@router.get("")
async def list_schedules(
    agent_id: AgentPath, database: DatabaseDep, query: Annotated[ScheduleListQuery, Query()]
) -> ScheduleList:
    """List what is still to be run, oldest first."""
    async with database.unit_of_work() as session:
        await existing_agent(session, agent_id)
        found = await repository.list_schedules(session, agent_id, query.page())
    shown = [scheduled_message(schedule) for schedule in found[: query.limit]]
    return ScheduleList(has_next_page=len(found) > query.limit, scheduled_messages=shown)


@router.get("/{schedule_id}")
async def retrieve_schedule(
    agent_id: AgentPath, schedule_id: SchedulePath, database: DatabaseDep
) -> ScheduledMessage:
    """One schedule, also one that is over."""
    async with database.unit_of_work() as session:
        schedule = await repository.fetch_schedule(session, agent_id, schedule_id)
    if schedule is None:
        raise _unknown(agent_id, schedule_id)
    return scheduled_message(schedule)


@router.delete("/{schedule_id}")
async def delete_schedule(
    agent_id: AgentPath, schedule_id: SchedulePath, database: DatabaseDep
) -> ScheduleDeleted:
    """Delete a schedule; a turn of it that runs already goes on."""
    async with database.unit_of_work() as session:
        if not await repository.delete_schedule(session, agent_id, schedule_id):
            raise _unknown(agent_id, schedule_id)
    return ScheduleDeleted()


def _unknown(agent_id: str, schedule_id: str) -> NotFoundError:
    return NotFoundError(f"agent {agent_id!r} has no schedule {schedule_id!r}")
