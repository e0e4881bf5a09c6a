"""`/v1/groups`: the groups that `enable_sleeptime` of an agent makes. There are no others."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from o_platform.agents.group_service import GroupService
from o_platform.agents.sleeptime import ENABLED
from o_platform.api.deps import AgentsDep, DatabaseDep
from o_platform.api.groups.schemas import (
    GroupId,
    GroupListQuery,
    GroupState,
    GroupUpdate,
    group_state,
)

router = APIRouter(prefix="/v1/groups", tags=["groups"])
GroupPath = Annotated[GroupId, Path()]


@router.get("")
async def list_groups(
    database: DatabaseDep, query: Annotated[GroupListQuery, Query()]
) -> list[GroupState]:
    """List groups, newest first unless asked otherwise."""
    if query.manager_type not in (None, "sleeptime"):
        return []
    return [group_state(group) for group in await GroupService(database).list(query.page())]


@router.get("/{group_id}")
async def retrieve_group(group_id: GroupPath, database: DatabaseDep) -> GroupState:
    """One group."""
    return group_state(await GroupService(database).fetch(group_id))


@router.patch("/{group_id}")
async def update_group(group_id: GroupPath, body: GroupUpdate, database: DatabaseDep) -> GroupState:
    """Change how often a companion works."""
    groups = GroupService(database)
    change = body.manager_config
    if change is None or change.sleeptime_agent_frequency is None:
        return group_state(await groups.fetch(group_id))
    return group_state(await groups.set_frequency(group_id, change.sleeptime_agent_frequency))


@router.delete("/{group_id}", response_class=Response)
async def delete_group(group_id: GroupPath, database: DatabaseDep, agents: AgentsDep) -> None:
    """Delete a group with its companion; the agent keeps its memory itself again."""
    group = await GroupService(database).fetch(group_id)
    await agents.update(group.manager_id, {"config": {ENABLED: False}})
