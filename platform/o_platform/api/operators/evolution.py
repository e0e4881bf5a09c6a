"""`/o/v1/evolve` and `/o/v1/attempts`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from o_platform.api.deps import PlatformDep
from o_platform.api.operators.schemas import (
    AttemptState,
    EvolveRequest,
    EvolveStarted,
    attempt_state,
)

router = APIRouter(prefix="/o/v1", tags=["operators"])
MAX_LISTED = 1000


@router.post("/evolve")
async def evolve(body: EvolveRequest, platform: PlatformDep) -> EvolveStarted:
    """Start one cycle of evolution; answers at once."""
    attempt_id = await platform.delivery.start_cycle(body.lineage, body.policy)
    return EvolveStarted(attempt_id=attempt_id)


@router.get("/attempts")
async def list_attempts(
    platform: PlatformDep,
    lineage: str = "default",
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 50,
) -> list[AttemptState]:
    """List a lineage's attempts, the newest first."""
    attempts = await platform.delivery.evolution.attempts(lineage, limit=limit)
    return [attempt_state(attempt) for attempt in attempts]
