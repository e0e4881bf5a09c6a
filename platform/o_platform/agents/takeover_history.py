"""Conversations and runs of agents that are taken over, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import is_valid_id
from o_platform.agents.agent_files.format import Count
from o_platform.db.models import Agent, Conversation, Run, Step
from o_platform.errors import BadInputError

CLIENT: Final = "import"
"""For whom runs that were taken over ran, as they say."""
_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_MOST_TOKENS: Final = 2**31 - 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class TakenConversation(_Part):
    """A conversation, without its messages."""

    id: str
    summary: str | None = None
    description: str | None = None
    created_at: datetime | None = None


class ConversationBatch(_Part):
    """Conversations of an agent."""

    conversations: list[TakenConversation]


class TakenStep(_Part):
    """A step of a run."""

    id: str
    model: str | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    stop_reason: str | None = None
    feedback: str | None = None
    tags: list[str] | None = None
    created_at: datetime | None = None


class TakenRun(_Part):
    """A run with its steps in order."""

    id: str
    status: str
    stop_reason: str | None = None
    conversation_id: str | None = None
    background: bool | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    steps: list[TakenStep] = []


class RunBatch(_Part):
    """Runs of an agent."""

    runs: list[TakenRun]


async def add_conversations(
    session: AsyncSession, agent: Agent, wanted: Sequence[TakenConversation]
) -> int:
    """Add those that are not there yet; returns how many.

    Raises:
        BadInputError: an id cannot be kept, or is that of another agent's conversation.
    """
    added = 0
    for one in wanted:
        if not is_valid_id(one.id, "conv"):
            raise BadInputError(f"{one.id!r} is no id of a conversation", field="conversations.id")
        if await of_agent(session, agent.id, one.id) is None:
            made: dict[str, Any] = {} if one.created_at is None else {"created_at": one.created_at}
            session.add(
                Conversation(
                    id=one.id, agent_id=agent.id, summary=one.summary, description=one.description,
                    **made,
                )
            )  # fmt: skip
            await session.flush()
            added += 1
    return added


async def of_agent(
    session: AsyncSession, agent_id: str, conversation_id: str
) -> Conversation | None:
    """The agent's conversation with this id, if it is there.

    Raises:
        BadInputError: it is another agent's.
    """
    found = await session.get(Conversation, conversation_id)
    if found is not None and found.agent_id != agent_id:
        raise BadInputError(
            f"{conversation_id} is a conversation of {found.agent_id}", field="conversation_id"
        )
    return found


async def add_runs(
    session: AsyncSession, agent: Agent, wanted: Sequence[TakenRun]
) -> tuple[int, int]:
    """Add runs that have ended and are not there yet, with their steps; how many of both."""
    ids = [run.id for run in wanted]
    present = set(await session.scalars(select(Run.id).where(Run.id.in_(ids))))
    fresh = {
        run.id: run
        for run in wanted
        if run.id not in present and run.status in _ENDED and is_valid_id(run.id, "run")
    }
    session.add_all(_run(agent, run) for run in fresh.values())
    await session.flush()
    steps = {
        step.id: _step(run, step)
        for run in fresh.values()
        for step in run.steps
        if is_valid_id(step.id, "step")
    }
    for step_id in await session.scalars(select(Step.id).where(Step.id.in_(list(steps)))):
        del steps[step_id]
    session.add_all(steps.values())
    return len(fresh), len(steps)


def _run(agent: Agent, run: TakenRun) -> Run:
    began = _aware(run.created_at)
    ended = _aware(run.completed_at) or began
    lasted_s = (ended - began).total_seconds() if began and ended else 0.0
    return Run(
        id=run.id, agent_id=agent.id, conversation_id=run.conversation_id,
        background=bool(run.background), request_key=f"taken:{run.id}", status=run.status,
        stop_reason=run.stop_reason or ("error" if run.status == "failed" else "end_turn"),
        variant="", instance_id="", client=CLIENT, cached_input_tokens=0, reasoning_tokens=0,
        prompt_tokens=_sum(step.prompt_tokens for step in run.steps),
        completion_tokens=_sum(step.completion_tokens for step in run.steps),
        step_count=len(run.steps), duration_us=int(max(lasted_s, 0.0) * 1e6),
        **({"created_at": ended} if ended else {}),
    )  # fmt: skip


def _step(run: TakenRun, step: TakenStep) -> Step:
    made = {} if step.created_at is None else {"created_at": step.created_at}
    return Step(
        id=step.id, run_id=run.id, model=step.model or "", prompt_tokens=step.prompt_tokens or 0,
        completion_tokens=step.completion_tokens or 0, stop_reason=step.stop_reason or "end_turn",
        llm_us=0, tool_us=0, sandbox_us=0, tags=step.tags or [],
        feedback=step.feedback if step.feedback in ("positive", "negative") else None, **made,
    )  # fmt: skip


def _sum(counts: Iterable[int | None]) -> int:
    return min(sum(count or 0 for count in counts), _MOST_TOKENS)


def _aware(at: datetime | None) -> datetime | None:
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)
