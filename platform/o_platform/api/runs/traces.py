"""What happened in a run and in a step.

With `O_TRACE_DAYS` what a step sent to its provider, and what that answered, is kept for some days
and shown as it was (`source` is `provider`). Otherwise nothing is recorded, so a trace costs no
turn anything, and it is put together from what is stored anyway (`source` is `history`): the
request is the history as it was before the step, under the system prompt that the agent has now. A
run's spans are laid end to end, as the durations of its steps say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query

from o_agent.llm_messages import decode_messages, history_units
from o_contracts.llm import LlmMessage, LlmResult
from o_contracts.messages import Message, MessageType, Usage
from o_platform.agents import history_repository
from o_platform.agents.defaults import IN_CONTEXT_MESSAGES
from o_platform.agents.history_repository import StepFilter, StepOfAgent
from o_platform.agents.paging import Page
from o_platform.agents.service import existing_agent
from o_platform.api.deps import DatabaseDep
from o_platform.api.fields import MAX_PAGE, RunId, StepId
from o_platform.api.messages.endpoints import DEFAULT_LIMIT, shown, stored
from o_platform.api.messages.schemas import MessageState, RunMessagesQuery
from o_platform.api.messages.wire import MessageView
from o_platform.api.runs.endpoints import existing_run, existing_step
from o_platform.api.runs.schemas import FeedbackBody, StepState, TraceQuery, step_state
from o_platform.db.models import Agent, Run, Step, StepTrace
from o_platform.llm.chat_format import chat_message, chat_response

router = APIRouter(prefix="/v1", tags=["runs"])
RunPath = Annotated[RunId, Path()]
StepPath = Annotated[StepId, Path()]
EVERYTHING: Final = Page(limit=MAX_PAGE, descending=False)
EXACT: Final = "provider"
PUT_TOGETHER: Final = "history"


@router.get("/runs/{run_id}/trace")
async def retrieve_run_trace(
    run_id: RunPath, database: DatabaseDep, query: Annotated[TraceQuery, Query()]
) -> list[dict[str, Any]]:
    """The spans of a run: the run, its steps, and in each its model call and its tools."""
    async with database.unit_of_work() as session:
        run = await existing_run(session, run_id)
        wanted = StepFilter(run_id=run_id)
        steps = await history_repository.list_steps(session, wanted, EVERYTHING)
        rows = await history_repository.list_run_messages(session, run_id, EVERYTHING)
    order = {m.step_id: place for place, m in enumerate(stored(rows))}
    found = sorted((one.step for one in steps), key=lambda step: order.get(step.id, len(order)))
    return _spans(run, found)[: query.limit]


@router.get(
    "/steps/{step_id}/messages",
    response_model=list[MessageState],
    response_model_exclude_unset=True,
)
async def list_step_messages(
    step_id: StepPath, database: DatabaseDep, query: Annotated[RunMessagesQuery, Query()]
) -> list[dict[str, Any]]:
    """List the messages of a step."""
    async with database.unit_of_work() as session:
        found = await existing_step(session, step_id)
        page = query.page(default_limit=DEFAULT_LIMIT)
        rows = await history_repository.list_step_messages(session, found.step, page)
    return shown(rows, MessageView(assistant_tool=None))


@router.patch("/steps/{step_id}/feedback")
async def give_feedback(step_id: StepPath, database: DatabaseDep, body: FeedbackBody) -> StepState:
    """Say what a step was like."""
    async with database.unit_of_work() as session:
        await existing_step(session, step_id)
        await history_repository.set_feedback(session, step_id, body.feedback, body.tags)
    async with database.unit_of_work() as session:
        return step_state(await existing_step(session, step_id))


@router.get("/steps/{step_id}/trace")
async def retrieve_step_trace(step_id: StepPath, database: DatabaseDep) -> dict[str, Any]:
    """What a step asked its model, and what that replied."""
    async with database.unit_of_work() as session:
        found = await existing_step(session, step_id)
        agent = await existing_agent(session, found.agent_id)
        kept = await session.get(StepTrace, step_id)
        if kept is not None:
            return _trace(found, agent, EXACT, kept.body["request"], kept.body["response"])
        if found.step.failure is not None:  # the messages of its turn are not kept
            known = {"model": found.step.model.partition("/")[2]}
            return _trace(found, agent, PUT_TOGETHER, known, {"error": found.step.failure})
        rows = await history_repository.list_step_messages(session, found.step, EVERYTHING)
        replies = [row for row in rows if row.type not in {"user_message", "system_message"}]
        earlier = []
        if replies:
            limit = IN_CONTEXT_MESSAGES
            earlier = await history_repository.messages_before(session, replies[0], limit)
    request = _request(agent, found.step, stored(earlier))
    return _trace(found, agent, PUT_TOGETHER, request, _response(found.step, stored(replies)))


def _trace(
    found: StepOfAgent,
    agent: Agent,
    source: str,
    request: dict[str, Any],
    response: dict[str, Any],
) -> dict[str, Any]:
    step = found.step
    return {
        "id": step.id.replace("step-", "provider_trace-"),
        "step_id": step.id,
        "run_id": step.run_id,
        "agent_id": found.agent_id,
        "agent_tags": agent.tags,
        "call_type": "agent_step",
        "source": source,
        "request_json": request,
        "response_json": response,
        "latency_ms": round(step.llm_us / 1000),
        "created_at": step.created_at,
        "llm_config": {"handle": step.model},
    }


def _request(agent: Agent, step: Step, earlier: Sequence[Message]) -> dict[str, Any]:
    window = decode_messages([unit.raw for unit in history_units(list(earlier))])
    messages = [LlmMessage("system", agent.system), *window]
    return {
        "model": step.model.partition("/")[2],
        "messages": [chat_message(message) for message in messages],
        "tools": agent.tools,
        **agent.model_settings,
    }


def _response(step: Step, replies: Sequence[Message]) -> dict[str, Any]:
    calls = [call for m in replies for call in m.tool_calls or ()]
    return chat_response(
        LlmResult(
            text=_joined(replies, "assistant_message"),
            reasoning=_joined(replies, "reasoning_message"),
            tool_calls=calls,
            finish_reason="tool_calls" if calls else "stop",
            usage=Usage(step.prompt_tokens, step.completion_tokens),
            model=step.model,
        )
    )


def _joined(replies: Sequence[Message], kind: MessageType) -> str:
    return "\n".join(str(m.content) for m in replies if m.type == kind)


def _spans(run: Run, steps: Sequence[Step]) -> list[dict[str, Any]]:
    began = run.created_at - timedelta(microseconds=run.duration_us)
    at_ns = int(began.timestamp() * 1e9)
    more = {"run_id": run.id, "status": run.status, "stop_reason": run.stop_reason}
    spans = [_span("run", run.id, None, at_ns, run.duration_us, **more)]
    for step in steps:
        taken_us = step.llm_us + step.tool_us
        about = {"model": step.model, "stop_reason": step.stop_reason}
        spans.append(_span("step", step.id, run.id, at_ns, taken_us, **about))
        tokens = {"prompt_tokens": step.prompt_tokens, "completion_tokens": step.completion_tokens}
        spans.append(_span("llm", f"{step.id}/llm", step.id, at_ns, step.llm_us, **tokens))
        if step.tool_us:
            tools_at = at_ns + step.llm_us * 1000
            sandbox = {"sandbox_ns": step.sandbox_us * 1000}
            spans.append(
                _span("tools", f"{step.id}/tools", step.id, tools_at, step.tool_us, **sandbox)
            )
        at_ns += taken_us * 1000
    return spans


def _span(
    name: str, span_id: str, parent: str | None, start_ns: int, taken_us: int, **about: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "span_id": span_id,
        "parent_span_id": parent,
        "start_ns": start_ns,
        "duration_ns": taken_us * 1000,
        "attributes": about,
    }
