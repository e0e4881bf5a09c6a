"""Queries on what agents did: messages, runs and steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import (
    Text,
    cast,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts import messages as contract
from o_platform.agents.paging import Page, fetch_page, page_of
from o_platform.agents.selection import Selection
from o_platform.db.detached import Detached
from o_platform.db.engine import Ask
from o_platform.db.models import Agent, Message, Run, Step
from o_platform.db.sealing import Vault


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; what is absent does not restrict."""

    agent_ids: Sequence[str] = ()
    statuses: Sequence[str] = ()
    stop_reason: str | None = None
    conversation_id: str | None = None
    background: bool | None = None


@dataclass(frozen=True, slots=True)
class StepFilter:
    """Which steps to list; what is absent does not restrict."""

    agent_id: str | None = None
    run_id: str | None = None
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    feedback: str | None = None
    has_feedback: bool | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class StepOfAgent:
    """A step and the agent that took it."""

    step: Step
    agent_id: str


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages to list; what is absent does not restrict.

    Calls of `said_by` count as assistant messages, and its returns are left out: a page is cut
    after that, so it is full whenever more is to come.
    """

    types: Sequence[str] | None = None
    said_by: str | None = None
    conversation_id: str | None = None
    """None: the agent's default conversation."""


EVERY_MESSAGE: Final = MessageFilter()
_detached: Final = Detached(Message)


async def list_messages(
    ask: Ask, vault: Vault, agent_id: str, wanted: MessageFilter, page: Page
) -> list[Message]:
    """A page of the agent's messages."""
    messages = Selection("messages").where("r.agent_id = {}", agent_id)
    if wanted.conversation_id is None:
        messages.where("r.conversation_id IS NULL")
    else:
        messages.where("r.conversation_id = {}", wanted.conversation_id)
    if wanted.said_by is not None:
        returns = "r.type = 'tool_return_message' AND coalesce(r.tool = {}, false)"
        messages.where(f"NOT ({returns})", wanted.said_by)
    if wanted.types is not None and wanted.said_by is not None:
        says = "r.type = 'tool_call_message' AND coalesce(r.tool = {}, false)"
        shown = f"CASE WHEN {says} THEN 'assistant_message' ELSE r.type END"
        messages.where(f"{shown} = ANY ({{}}::text[])", wanted.said_by, wanted.types)
    elif wanted.types is not None:
        messages.where("r.type = ANY ({}::text[])", wanted.types)
    return [_detached(vault, row) for row in await messages.page(ask, ("r.seq",), page)]


async def fetch_message(session: AsyncSession, message_id: str) -> Message | None:
    """The message with this id."""
    return await session.scalar(select(Message).where(Message.id == message_id))


async def fetch_messages(
    session: AsyncSession, message_ids: Sequence[str]
) -> dict[str, contract.Message]:
    """The messages with these ids, as far as they exist."""
    rows = await session.scalars(select(Message).where(Message.id.in_(message_ids)))
    return {row.id: msgspec.convert(row.body, contract.Message) for row in rows}


async def list_run_messages(session: AsyncSession, run_id: str, page: Page) -> list[Message]:
    """A page of the messages of one run."""
    statement = select(Message).where(Message.run_id == run_id)
    return await fetch_page(session, statement, Message.id, (Message.seq,), page)


async def delete_messages(session: AsyncSession, agent: Agent) -> None:
    """Forget every message of the agent's default conversation."""
    agent.message_count = 0
    own = (Message.agent_id == agent.id, Message.conversation_id.is_(None))
    await session.execute(delete(Message).where(*own))


async def fetch_run(session: AsyncSession, run_id: str) -> Run | None:
    """The run with this id."""
    return await session.get(Run, run_id)


async def list_runs(session: AsyncSession, wanted: RunFilter, page: Page) -> list[Run]:
    """A page of the runs that pass the filter."""
    statement = select(Run)
    if wanted.agent_ids:
        statement = statement.where(Run.agent_id.in_(list(wanted.agent_ids)))
    if wanted.statuses:
        statement = statement.where(Run.status.in_(list(wanted.statuses)))
    if wanted.conversation_id is not None:
        statement = statement.where(Run.conversation_id == wanted.conversation_id)
    if wanted.background is not None:
        statement = statement.where(Run.background.is_(wanted.background))
    if wanted.stop_reason is not None:
        statement = statement.where(Run.stop_reason == wanted.stop_reason)
    return await fetch_page(session, statement, Run.id, (Run.created_at, Run.id), page)


async def ended_among(session: AsyncSession, run_ids: Sequence[str]) -> set[str]:
    """Which of these runs have ended."""
    if not run_ids:
        return set()
    return set(await session.scalars(select(Run.id).where(Run.id.in_(run_ids))))


async def fetch_step(session: AsyncSession, step_id: str) -> StepOfAgent | None:
    """The step with this id."""
    found = select(Step, Run.agent_id).join(Run, Run.id == Step.run_id).where(Step.id == step_id)
    row = (await session.execute(found)).first()
    return None if row is None else StepOfAgent(row[0], row[1])


async def list_steps(session: AsyncSession, wanted: StepFilter, page: Page) -> list[StepOfAgent]:
    """A page of the steps that pass the filter."""
    statement = select(Step).join(Run, Run.id == Step.run_id)
    if wanted.agent_id is not None:
        statement = statement.where(Run.agent_id == wanted.agent_id)
    if wanted.run_id is not None:
        statement = statement.where(Step.run_id == wanted.run_id)
    if wanted.model is not None:
        name = func.substr(Step.model, func.strpos(Step.model, "/") + 1)
        statement = statement.where(or_(Step.model == wanted.model, name == wanted.model))
    if wanted.feedback is not None:
        statement = statement.where(Step.feedback == wanted.feedback)
    if wanted.has_feedback is not None:
        has = Step.feedback.is_not(None)
        statement = statement.where(has if wanted.has_feedback else ~has)
    if wanted.tags:
        holds = Step.tags.bool_op("@>")
        statement = statement.where(holds(cast(list(wanted.tags), ARRAY(Text))))
    if wanted.since is not None:
        statement = statement.where(Step.created_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(Step.created_at < wanted.until)
    steps = await fetch_page(session, statement, Step.id, (Step.created_at, Step.id), page)
    return await _with_agents(session, steps)


async def set_feedback(
    session: AsyncSession, step_id: str, feedback: str | None, tags: Sequence[str] | None
) -> None:
    """What a client says of a step; `tags` stay as they are unless given."""
    values: dict[str, object] = {"feedback": feedback}
    if tags is not None:
        values["tags"] = list(tags)
    await session.execute(update(Step).where(Step.id == step_id).values(**values))


async def list_step_messages(session: AsyncSession, step: Step, page: Page) -> list[Message]:
    """A page of the messages of one step.

    Which step a message is of stands in its sealed body, so the run's few are looked through.
    """
    of_run = select(Message).where(Message.run_id == step.run_id).order_by(Message.seq)
    rows = [row for row in await session.scalars(of_run) if row.body.get("step_id") == step.id]
    return page_of(rows, page)


async def messages_before(session: AsyncSession, first: Message, limit: int) -> list[Message]:
    """The newest messages of a thread that come before one of its messages, oldest first."""
    earlier = (
        select(Message)
        .where(
            Message.agent_id == first.agent_id,
            Message.conversation_id.is_not_distinct_from(first.conversation_id),
            Message.seq < first.seq,
        )
        .order_by(Message.seq.desc())
        .limit(limit)
    )
    return list(await session.scalars(earlier))[::-1]


async def list_all_messages(
    session: AsyncSession, types: Sequence[str] | None, conversation_id: str | None, page: Page
) -> list[Message]:
    """A page of the messages of all agents, or of one conversation."""
    statement = select(Message)
    if types is not None:
        statement = statement.where(Message.type.in_(types))
    if conversation_id is not None:
        statement = statement.where(Message.conversation_id == conversation_id)
    return await fetch_page(session, statement, Message.id, (Message.seq,), page)


async def _with_agents(session: AsyncSession, steps: list[Step]) -> list[StepOfAgent]:
    runs = {step.run_id for step in steps}
    found = await session.execute(select(Run.id, Run.agent_id).where(Run.id.in_(runs)))
    agent_ids = {run_id: agent_id for run_id, agent_id in found}
    return [StepOfAgent(step, agent_ids[step.run_id]) for step in steps]
