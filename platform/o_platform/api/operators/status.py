"""`/o/v1/status`: the platform at a glance."""

from __future__ import annotations

from fastapi import APIRouter

from o_platform import __version__
from o_platform.api.deps import PlatformDep
from o_platform.api.operators import repository
from o_platform.api.operators.schemas import (
    Status,
    TaskState,
    instance_state,
    lineage_state,
    rollout_state,
)
from o_platform.images.repository import list_lineages
from o_platform.rollout.repository import active_rollouts

router = APIRouter(prefix="/o/v1/status", tags=["operators"])
MAX_LISTED = 1000


@router.get("")
async def status(platform: PlatformDep) -> Status:
    """What runs, and what is still coming."""
    async with platform.database.unit_of_work() as session:
        agents = await repository.count_agents(session)
        lineages = [lineage_state(row) for row in await list_lineages(session)]
        instances = await repository.list_instances(
            session, lineage=None, wanted=True, limit=MAX_LISTED
        )
        rollouts = [rollout_state(row) for row in await active_rollouts(session)]
    served = {
        (row.lineage, row.variant)
        for row in instances
        if row.role == "stable" and row.status == "ready"
    }
    coming = [
        *platform.coming(),
        *(
            f"the stable instance of {lineage.name!r}"
            for lineage in lineages
            if (lineage.name, lineage.stable_variant) not in served
        ),
    ]
    return Status(
        version=__version__,
        healthy=not coming,
        leads=platform.leads,
        coming=coming,
        background={
            name: TaskState(condition=note.condition, since=note.since, message=note.message)
            for name, note in platform.board.notes.items()
        },
        runtime=platform.settings.runtime,
        listen=platform.settings.listen,
        agents=agents,
        lineages=lineages,
        instances=[instance_state(row) for row in instances],
        rollouts=rollouts,
    )
