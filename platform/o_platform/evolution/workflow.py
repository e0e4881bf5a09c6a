"""The evolution cycle as a durable workflow: a crash resumes at the last completed step.

Only ids are passed, since DBOS stores inputs in clear; content stays in the tables of its noun.
DBOS registers workflows globally, so the service in use is set once per process by `connect`.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Final

from dbos import DBOS, SetWorkflowID

from o_platform.errors import UnavailableError
from o_platform.evolution.service import EvolutionService, new_attempt_id
from o_platform.rollout.policy import find_policy
from o_platform.rollout.workflow import under_way

POLL_S: Final = 1.0
"""Between two looks at the rollout of an attempt."""
RETRIES: Final = 8
"""Tries of a step while the database or the engine comes back (back-off doubles from 0.5 s)."""

_connected: list[EvolutionService] = []


def connect(service: EvolutionService) -> None:
    """Let the workflows of this process use `service`; before DBOS is launched."""
    _connected[:] = [service]


async def start_cycle(lineage: str, policy: str) -> str:
    """Start one cycle and return its attempt's id at once.

    Raises:
        ConflictError: the lineage has an open attempt.
        NotFoundError: unknown lineage.
        BadInputError: unknown policy.
    """
    find_policy(policy)
    await _service().check_free(lineage)
    attempt_id = new_attempt_id()
    with SetWorkflowID(attempt_id):
        await DBOS.start_workflow_async(_cycle, attempt_id, lineage, policy)
    return attempt_id


def _service() -> EvolutionService:
    if not _connected:
        raise UnavailableError("evolution is still starting; try again in a second")
    return _connected[0]


@DBOS.workflow(name="evolution_cycle")
async def _cycle(attempt_id: str, lineage: str, policy: str) -> str:
    with under_way():
        await _propose(attempt_id, lineage)
        rollout_id = await _start_rollout(attempt_id, policy)
        while rollout_id is not None and not await _rollout_finished(rollout_id):
            await DBOS.sleep_async(POLL_S)
        return await _conclude(attempt_id)


@DBOS.step(name="propose", retries_allowed=True, interval_seconds=0.5, max_attempts=RETRIES)
async def _propose(attempt_id: str, lineage: str) -> str:
    return await _service().propose(attempt_id, lineage)


@DBOS.step(name="start_rollout", retries_allowed=True, interval_seconds=0.5, max_attempts=RETRIES)
async def _start_rollout(attempt_id: str, policy: str) -> str | None:
    # A step may not start a workflow, and the rollout is one of its own, not a child of this one:
    # so it is started in an empty context, in which DBOS sees no workflow around it.
    starting = _service().start_rollout(attempt_id, policy)
    return await asyncio.create_task(starting, context=Context())


@DBOS.step(
    name="rollout_finished", retries_allowed=True, interval_seconds=0.5, max_attempts=RETRIES
)
async def _rollout_finished(rollout_id: str) -> bool:
    return await _service().rollout_finished(rollout_id)


@DBOS.step(name="conclude", retries_allowed=True, interval_seconds=0.5, max_attempts=RETRIES)
async def _conclude(attempt_id: str) -> str:
    return await _service().conclude(attempt_id)
