"""`/o/v1/takeover`: agents of a retired server, sent by `o import letta` piece by piece."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError

from o_platform.agents.agent_files.format import problems, storable
from o_platform.agents.takeover import AgentBundle, MessageBatch, PassageBatch, TakenGroup
from o_platform.agents.takeover_history import ConversationBatch, RunBatch
from o_platform.api.deps import TakeoverDep
from o_platform.api.fields import AgentPath, ArchivePath
from o_platform.errors import BadInputError

router = APIRouter(prefix="/o/v1/takeover", tags=["operators"])
M = TypeVar("M", bound=BaseModel)


class Taken(BaseModel):
    """Whether the agent or group is new here, and what of it was left out."""

    is_new: bool
    notes: list[str]


class Added(BaseModel):
    """How many rows were added."""

    added: int


class AddedRuns(Added):
    """How many runs were added, and how many steps with them."""

    steps: int


@router.post("/agents")
async def take_agent(request: Request, takeover: TakeoverDep) -> Taken:
    """Create an agent under the id it had, with its blocks, tools and archives."""
    taken = await takeover.agent(await _body(request, AgentBundle))
    return Taken(is_new=taken.is_new, notes=taken.notes)


@router.post("/agents/{agent_id}/messages")
async def take_messages(agent_id: AgentPath, request: Request, takeover: TakeoverDep) -> Added:
    """Append messages to an agent's history, under the ids they had."""
    return Added(added=await takeover.messages(agent_id, await _body(request, MessageBatch)))


@router.post("/agents/{agent_id}/conversations")
async def take_conversations(agent_id: AgentPath, request: Request, takeover: TakeoverDep) -> Added:
    """Create conversations of an agent, under the ids they had."""
    batch = await _body(request, ConversationBatch)
    return Added(added=await takeover.conversations(agent_id, batch))


@router.post("/agents/{agent_id}/runs")
async def take_runs(agent_id: AgentPath, request: Request, takeover: TakeoverDep) -> AddedRuns:
    """Keep runs that have ended, with their steps, under the ids they had."""
    runs, steps = await takeover.runs(agent_id, await _body(request, RunBatch))
    return AddedRuns(added=runs, steps=steps)


@router.post("/groups")
async def take_group(request: Request, takeover: TakeoverDep) -> Taken:
    """Let an agent's memory be kept by the companion it had."""
    group = await _body(request, TakenGroup)
    is_new = await takeover.group(group)
    left_out = f"the group {group.id} ({group.manager_type}): set its agents up again"
    return Taken(is_new=bool(is_new), notes=[left_out] if is_new is None else [])


@router.post("/archives/{archive_id}/passages")
async def take_passages(archive_id: ArchivePath, request: Request, takeover: TakeoverDep) -> Added:
    """Keep passages in an archive, under the ids they had."""
    return Added(added=await takeover.passages(archive_id, await _body(request, PassageBatch)))


async def _body(request: Request, shape: type[M]) -> M:
    """The body; what others stored may hold characters that cannot be stored here."""
    try:
        document: Any = json.loads(await request.body())
        return shape.model_validate(storable(document))
    except ValidationError as error:
        raise BadInputError(problems(error)) from None
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"the body is not JSON: {error}") from None
