"""`/o/v1/status`: the platform at a glance."""

from __future__ import annotations

from datetime import timedelta

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
from o_platform.wiring.stable import LAST_PAUSE_S

router = APIRouter(prefix="/o/v1/status", tags=["operators"])
MAX_LISTED = 1000
_RECENT = timedelta(seconds=2 * LAST_PAUSE_S)
"""How long the last failed start of a stable instance explains why there is none."""


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
        failures = await repository.recent_failures(session, _RECENT)
    served = {
        (row.lineage, row.variant)
        for row in instances
        if row.role == "stable" and row.status == "ready"
    }
    coming = [
        *platform.coming(),
        *(
            _stable_instance(lineage.name, failures.get(lineage.name))
            for lineage in lineages
            if (lineage.name, lineage.stable_variant) not in served
        ),
    ]
    return Status(
        version=__version__,
        healthy=not coming,
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


def _stable_instance(lineage: str, failure: str | None) -> str:
    why = f", whose last start failed: {failure}" if failure else ""
    return f"the stable instance of {lineage!r}{why}"
