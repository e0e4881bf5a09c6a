"""Queries on scheduled turns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.paging import Page, fetch_page
from o_platform.db.models import Schedule


async def fetch_schedule(session: AsyncSession, agent_id: str, schedule_id: str) -> Schedule | None:
    """The agent's schedule with this id."""
    schedule = await session.get(Schedule, schedule_id)
    return None if schedule is None or schedule.agent_id != agent_id else schedule


async def list_schedules(session: AsyncSession, agent_id: str, page: Page) -> list[Schedule]:
    """A page of the agent's schedules that are not over."""
    wanted = select(Schedule).where(Schedule.agent_id == agent_id, Schedule.next_at.is_not(None))
    return await fetch_page(session, wanted, Schedule.id, (Schedule.created_at, Schedule.id), page)


async def delete_schedule(session: AsyncSession, agent_id: str, schedule_id: str) -> bool:
    """Delete a schedule; whether there was one."""
    wanted = delete(Schedule).where(Schedule.id == schedule_id, Schedule.agent_id == agent_id)
    return await session.scalar(wanted.returning(Schedule.id)) is not None


async def due_schedules(session: AsyncSession, now: datetime, limit: int) -> Sequence[Schedule]:
    """What is due at `now`, the longest overdue first."""
    wanted = select(Schedule).where(Schedule.next_at <= now).order_by(Schedule.next_at)
    return (await session.scalars(wanted.limit(limit))).all()


async def next_due(session: AsyncSession) -> datetime | None:
    """When the next schedule is due."""
    return await session.scalar(select(func.min(Schedule.next_at)))


async def record_try(
    session: AsyncSession, schedule: Schedule, at: datetime, error: str, next_at: datetime
) -> None:
    """Note that the run that is due failed, and when to try it again."""
    await _update(session, schedule, at, error, next_at=next_at, tries=schedule.tries + 1)


async def record_end(
    session: AsyncSession,
    schedule: Schedule,
    at: datetime,
    error: str | None,
    next_at: datetime | None,
) -> None:
    """Note that the run that was due is over, and when the next one is due (None: never)."""
    await _update(session, schedule, at, error, next_at=next_at, tries=0, runs=schedule.runs + 1)


async def _update(
    session: AsyncSession, schedule: Schedule, at: datetime, error: str | None, **values: Any
) -> None:
    # Not if another control plane has recorded the same run meanwhile.
    unchanged = (Schedule.id == schedule.id, Schedule.runs == schedule.runs)
    values |= {"last_at": at, "last_error": error}
    await session.execute(update(Schedule).where(*unchanged).values(**values))
