"""`/v1/runs` and `/v1/steps`; `traces` and `streams` have the rest of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents import background_repository, history_repository
from o_platform.agents.history_repository import StepFilter, StepOfAgent
from o_platform.api.deps import DatabaseDep, RunningTurnsDep
from o_platform.api.fields import RunId, StepId
from o_platform.api.messages.endpoints import DEFAULT_LIMIT, shown
from o_platform.api.messages.schemas import MessageState, RunMessagesQuery
from o_platform.api.messages.wire import MessageView
from o_platform.api.runs.active import active_runs, joined, page_of_active, parts_of
from o_platform.api.runs.schemas import (
    RunListQuery,
    RunState,
    RunStepsQuery,
    RunUsage,
    StepListQuery,
    StepMetrics,
    StepState,
    background_state,
    run_state,
    run_usage,
    running_state,
    step_metrics,
    step_state,
)
from o_platform.db.models import Run
from o_platform.errors import NotFoundError

router = APIRouter(prefix="/v1", tags=["runs"])
RunPath = Annotated[RunId, Path()]
StepPath = Annotated[StepId, Path()]


@router.get("/runs")
async def list_runs(
    database: DatabaseDep, turns: RunningTurnsDep, query: Annotated[RunListQuery, Query()]
) -> list[RunState]:
    """List runs, newest first unless asked otherwise; those that run now are the newest."""
    if query.ascending is not None and "order" not in query.model_fields_set:
        query.order = "asc" if query.ascending else "desc"
    running, page = await turns.list(), query.page(default_limit=DEFAULT_LIMIT)
    async with database.unit_of_work() as session:
        waiting = await background_repository.open_runs(session, query.filter().agent_ids)
        active = active_runs(running, waiting, query)
        over = await history_repository.ended_among(session, [run.id for run in active])
        active = [run for run in active if run.id not in over]
        if query.active:
            return page_of_active(active, page)
        shown_active, wanted = parts_of(active, page)
        runs: Sequence[Run] = ()
        if wanted is not None:
            runs = await history_repository.list_runs(session, query.filter(), wanted)
        begun = [run.id for run in runs if run.background]
        rows = await background_repository.fetch_many(session, begun) if begun else {}
    ended = [run_state(run, rows.get(run.id)) for run in runs]
    return joined(shown_active, ended, page)


@router.get("/runs/{run_id}")
async def retrieve_run(run_id: RunPath, database: DatabaseDep, turns: RunningTurnsDep) -> RunState:
    """One run, ended or not."""
    running = next((turn for turn in await turns.list() if turn.run_id == run_id), None)
    async with database.unit_of_work() as session:
        run = await history_repository.fetch_run(session, run_id)
        row = await background_repository.fetch_background(session, run_id)
    if run is not None:
        return run_state(run, row)
    if running is not None:
        return running_state(running)
    if row is not None:
        return background_state(row)
    raise NotFoundError(f"no run has the id {run_id!r}", run_id=run_id)


@router.get("/runs/{run_id}/usage")
async def retrieve_run_usage(run_id: RunPath, database: DatabaseDep) -> RunUsage:
    """Tokens of a run."""
    async with database.unit_of_work() as session:
        return run_usage(await existing_run(session, run_id))


@router.get(
    "/runs/{run_id}/messages",
    response_model=list[MessageState],
    response_model_exclude_unset=True,
)
async def list_run_messages(
    run_id: RunPath, database: DatabaseDep, query: Annotated[RunMessagesQuery, Query()]
) -> list[dict[str, Any]]:
    """List the messages of a run."""
    async with database.unit_of_work() as session:
        await existing_run(session, run_id)
        page = query.page(default_limit=DEFAULT_LIMIT)
        rows = await history_repository.list_run_messages(session, run_id, page)
    return shown(rows, MessageView(assistant_tool=None))


@router.get("/runs/{run_id}/steps")
async def list_run_steps(
    run_id: RunPath, database: DatabaseDep, query: Annotated[RunStepsQuery, Query()]
) -> list[StepState]:
    """List the steps of a run."""
    async with database.unit_of_work() as session:
        await existing_run(session, run_id)
        page = query.page(default_limit=DEFAULT_LIMIT)
        steps = await history_repository.list_steps(session, StepFilter(run_id=run_id), page)
    return [step_state(step) for step in steps]


@router.get("/steps")
async def list_steps(
    database: DatabaseDep, query: Annotated[StepListQuery, Query()]
) -> list[StepState]:
    """List steps, newest first unless asked otherwise."""
    if query.matches_nothing():
        return []
    async with database.unit_of_work() as session:
        page = query.page(default_limit=DEFAULT_LIMIT)
        steps = await history_repository.list_steps(session, query.filter(), page)
    return [step_state(step) for step in steps]


@router.get("/steps/{step_id}")
async def retrieve_step(step_id: StepPath, database: DatabaseDep) -> StepState:
    """One step."""
    async with database.unit_of_work() as session:
        return step_state(await existing_step(session, step_id))


@router.get("/steps/{step_id}/metrics")
async def retrieve_step_metrics(step_id: StepPath, database: DatabaseDep) -> StepMetrics:
    """Where a step's time went."""
    async with database.unit_of_work() as session:
        return step_metrics(await existing_step(session, step_id))


async def existing_run(session: AsyncSession, run_id: str) -> Run:
    """The ended run with this id.

    Raises:
        NotFoundError: there is none.
    """
    run = await history_repository.fetch_run(session, run_id)
    if run is None:
        raise NotFoundError(f"no finished run has the id {run_id!r}", run_id=run_id)
    return run


async def existing_step(session: AsyncSession, step_id: str) -> StepOfAgent:
    """The step with this id.

    Raises:
        NotFoundError: there is none.
    """
    step = await history_repository.fetch_step(session, step_id)
    if step is None:
        raise NotFoundError(f"no step has the id {step_id!r}", step_id=step_id)
    return step
