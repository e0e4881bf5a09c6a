"""`/o/v1/rollouts` and `/o/v1/policies`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from o_platform.api.deps import CallerDep, DatabaseDep, PlatformDep
from o_platform.api.operators.schemas import (
    RolloutCreate,
    RolloutEventState,
    RolloutState,
    rollout_event_state,
    rollout_state,
)
from o_platform.db.engine import Database
from o_platform.rollout.policy import PRESETS, parse_policy
from o_platform.rollout.repository import fetch_rollout, list_events, list_rollouts

router = APIRouter(prefix="/o/v1", tags=["operators"])
MAX_LISTED = 1000
Action = Literal["approve", "pause", "resume", "abort"]


@router.post("/rollouts")
async def start(body: RolloutCreate, platform: PlatformDep, caller: CallerDep) -> RolloutState:
    """Start a rollout; answers at once."""
    rollouts = await platform.rollouts()
    policy = body.policy if isinstance(body.policy, str) else parse_policy(body.policy)
    started = await rollouts.start(body.lineage, body.variant, policy, caller)
    return await _state(platform.database, started.id)


@router.get("/rollouts")
async def list_all(
    database: DatabaseDep,
    lineage: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 50,
) -> list[RolloutState]:
    """List rollouts, the newest first."""
    async with database.unit_of_work() as session:
        rows = await list_rollouts(session, lineage, limit)
    return [rollout_state(row) for row in rows]


@router.get("/rollouts/{rollout_id}")
async def retrieve(rollout_id: str, database: DatabaseDep) -> RolloutState:
    """One rollout."""
    return await _state(database, rollout_id)


@router.get("/rollouts/{rollout_id}/events")
async def events(rollout_id: str, database: DatabaseDep) -> list[RolloutEventState]:
    """What happened in a rollout, the oldest first."""
    async with database.unit_of_work() as session:
        await fetch_rollout(session, rollout_id)
        rows = await list_events(session, rollout_id)
    return [rollout_event_state(row) for row in rows]


@router.post("/rollouts/{rollout_id}/{action}")
async def act(
    rollout_id: str, action: Action, platform: PlatformDep, caller: CallerDep
) -> RolloutState:
    """Approve, pause, resume or abort a rollout.

    When an abort answers, no request reaches the variant any more.
    """
    rollouts = await platform.rollouts()
    acts = {
        "approve": rollouts.approve,
        "pause": rollouts.pause,
        "resume": rollouts.resume,
        "abort": rollouts.abort,
    }
    await acts[action](rollout_id, caller)
    return await _state(platform.database, rollout_id)


@router.get("/policies")
async def policies() -> list[dict[str, Any]]:
    """List the policies that a rollout can be started with."""
    return [policy.model_dump(mode="json") for policy in PRESETS.values()]


async def _state(database: Database, rollout_id: str) -> RolloutState:
    async with database.unit_of_work() as session:
        return rollout_state(await fetch_rollout(session, rollout_id))
