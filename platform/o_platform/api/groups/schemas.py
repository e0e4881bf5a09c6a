"""Bodies, parameters and answers of groups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from o_contracts.ids import UUID_PATTERN
from o_platform.api.fields import Input, PageQuery
from o_platform.db.models import Group

GroupId = Annotated[str, StringConstraints(pattern=f"^group-{UUID_PATTERN}$")]
ManagerType = Literal[
    "round_robin", "supervisor", "dynamic", "sleeptime", "voice_sleeptime", "swarm"
]
LARGEST_FREQUENCY = 1_000_000
Frequency = Annotated[int, Field(ge=1, le=LARGEST_FREQUENCY)]


class GroupListQuery(PageQuery):
    """Which groups to list."""

    before: GroupId | None = None
    after: GroupId | None = None
    manager_type: ManagerType | None = None


class SleeptimeChange(Input):
    """How often the companion works: after every so many turns."""

    manager_type: Literal["sleeptime"] = "sleeptime"
    sleeptime_agent_frequency: Frequency | None = None


class GroupUpdate(Input):
    """What to change of a group; the rest of it follows from its agents."""

    manager_config: SleeptimeChange | None = None


class GroupState(BaseModel):
    """A group as the API shows it; `agent_ids` has the companion."""

    id: str
    manager_type: ManagerType = "sleeptime"
    manager_agent_id: str
    agent_ids: list[str]
    description: str = ""
    sleeptime_agent_frequency: int
    turns_counter: int
    last_processed_message_id: str | None
    shared_block_ids: list[str] = []
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    termination_token: str | None = None
    max_turns: int | None = None
    max_message_buffer_length: int | None = None
    min_message_buffer_length: int | None = None
    hidden: bool | None = None


def group_state(group: Group) -> GroupState:
    """The group as the API shows it."""
    return GroupState(
        id=group.id, manager_agent_id=group.manager_id, agent_ids=[group.companion_id],
        sleeptime_agent_frequency=group.frequency, turns_counter=group.turns,
        last_processed_message_id=group.last_message_id,
    )  # fmt: skip
