"""`/o/v1/evolve` and `/o/v1/attempts`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from o_platform.api.deps import DatabaseDep, PlatformDep
from o_platform.api.operators.schemas import (
    AttemptState,
    EvolveRequest,
    EvolveStarted,
    attempt_state,
)
from o_platform.evolution import repository

router = APIRouter(prefix="/o/v1", tags=["operators"])
MAX_LISTED = 1000


@router.post("/evolve")
async def evolve(body: EvolveRequest, platform: PlatformDep) -> EvolveStarted:
    """Start one cycle of evolution; answers at once."""
    attempt_id = await platform.delivery.start_cycle(body.lineage, body.policy)
    return EvolveStarted(attempt_id=attempt_id)


@router.get("/attempts")
async def list_attempts(
    database: DatabaseDep,
    lineage: str = "default",
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 50,
) -> list[AttemptState]:
    """List a lineage's attempts, the newest first."""
    async with database.unit_of_work() as session:
        await repository.fetch_lineage(session, lineage)
        attempts = await repository.list_attempts(session, lineage, limit=limit)
    return [attempt_state(attempt) for attempt in attempts]
