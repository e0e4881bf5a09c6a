"""`/v1/agents/{id}/messages` (turns go to instances), `…/messages/cancel`, `…/reset-messages`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from o_contracts.messages import Message
from o_platform.agents import history_repository
from o_platform.agents.service import require_agent
from o_platform.api.agents.schemas import AgentState
from o_platform.api.agents.views import agent_answer
from o_platform.api.answers import json_answer
from o_platform.api.deps import AgentsDep, BackgroundDep, DatabaseDep, RunningTurnsDep
from o_platform.api.fields import AgentPath
from o_platform.api.messages.schemas import (
    CancelMessages,
    MessageListQuery,
    MessageState,
    ResetMessages,
)
from o_platform.api.messages.wire import MessageView
from o_platform.db import models

router = APIRouter(prefix="/v1/agents/{agent_id}", tags=["messages"])
DEFAULT_LIMIT = 100


@router.get("/messages", response_model=list[MessageState])
async def list_messages(
    agent_id: AgentPath, database: DatabaseDep, query: Annotated[MessageListQuery, Query()]
) -> Response:
    """List an agent's messages, newest first unless asked otherwise."""
    page = query.page(default_limit=DEFAULT_LIMIT)
    if query.group_id is not None or page.after is not None or page.before is not None:
        await require_agent(database.ask, agent_id)
    if query.group_id is not None:
        return json_answer([])
    own = {None, "default", agent_id}
    conversation_id = None if query.conversation_id in own else query.conversation_id
    rows = await history_repository.list_messages(
        database.ask, database.vault, agent_id, query.filter(conversation_id), page
    )
    if not rows:
        await require_agent(database.ask, agent_id)
    return json_answer(shown(rows, query.view()))


@router.post("/messages/cancel")
async def cancel_messages(
    agent_id: AgentPath,
    agents: AgentsDep,
    running: RunningTurnsDep,
    background: BackgroundDep,
    body: CancelMessages | None = None,
) -> dict[str, Any]:
    """Cancel an agent's turns, by run or all of them; a waiting approval is denied, too.

    Answers with what became of each run: `cancelled`, or `not_running`.
    """
    await agents.fetch(agent_id)
    wanted = (body.run_ids if body else None) or []
    cancelled = await running.cancel(agent_id, wanted)
    begun = {turn.run_id for turn in await running.list()}
    cancelled += await background.cancel(agent_id, wanted, besides=begun)
    if not cancelled:
        denied = await agents.deny_pending(agent_id)
        cancelled = [denied] if denied and (not wanted or denied in wanted) else []
    return dict.fromkeys(wanted, "not_running") | dict.fromkeys(cancelled, "cancelled")


@router.patch("/reset-messages", response_model=AgentState)
async def reset_messages(
    agent_id: AgentPath, agents: AgentsDep, body: ResetMessages | None = None
) -> Response:
    """Forget an agent's messages; its memory blocks stay."""
    return agent_answer(await agents.reset_messages(agent_id), agents.catalogue)


def shown(rows: Sequence[models.Message], view: MessageView) -> list[dict[str, Any]]:
    """The stored messages that a client sees, ready for JSON."""
    return [wire for message in stored(rows) if (wire := view.show(message)) is not None]


def stored(rows: Sequence[models.Message]) -> list[Message]:
    """The messages in these rows."""
    return [msgspec.convert(row.body, Message) for row in rows]
