"""Queries on groups: agents and the companions that keep their memory."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.paging import Page, fetch_page
from o_platform.db.models import Group
from o_platform.errors import NotFoundError


async def fetch_group(session: AsyncSession, group_id: str, *, lock: bool = False) -> Group:
    """The group with this id, locked until the transaction ends if asked.

    Raises:
        NotFoundError: there is none.
    """
    group = await session.get(
        Group, group_id, with_for_update=True if lock else None, populate_existing=lock
    )
    if group is None:
        raise NotFoundError(f"no group has the id {group_id!r}", group_id=group_id)
    return group


async def list_groups(session: AsyncSession, page: Page) -> list[Group]:
    """A page of the groups."""
    return await fetch_page(session, select(Group), Group.id, (Group.created_at, Group.id), page)


async def managed_groups(session: AsyncSession, agent_ids: Sequence[str]) -> dict[str, Group]:
    """The groups that these agents manage, by agent."""
    rows = await session.scalars(
        select(Group)
        .where(Group.manager_id.in_(agent_ids))
        .execution_options(populate_existing=True)
    )
    return {group.manager_id: group for group in rows}


async def group_of(session: AsyncSession, agent_id: str) -> Group | None:
    """The group that this agent manages or serves."""
    mine = or_(Group.manager_id == agent_id, Group.companion_id == agent_id)
    return (await session.scalars(select(Group).where(mine).limit(1))).first()
