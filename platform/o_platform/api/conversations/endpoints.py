"""`/v1/conversations`: everything but turns, which instances answer.

A path names a conversation, an agent (its default conversation), or `default` together with
`agent_id`. Turns of the last two come here, as Envoy cannot see whose they are, and are sent on.
"""

from __future__ import annotations

from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from o_platform.agents import history_repository
from o_platform.api.conversations.schemas import (
    ConversationBody,
    ConversationListQuery,
    ConversationState,
    conversation_state,
)
from o_platform.api.deps import (
    ConversationsDep,
    DatabaseDep,
    RunningTurnsDep,
    SenderDep,
    TurnsDep,
)
from o_platform.api.fields import AgentId, MessageId, ThreadId
from o_platform.api.messages.endpoints import DEFAULT_LIMIT, shown
from o_platform.api.messages.schemas import MessageListQuery, MessageState
from o_platform.errors import BadInputError

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])
ThreadPath = Annotated[ThreadId, Path()]
AgentQuery = Annotated[AgentId | None, Query()]


@router.post("")
async def create_conversation(
    agent_id: AgentId, conversations: ConversationsDep, body: ConversationBody | None = None
) -> ConversationState:
    """Begin a conversation of an agent."""
    fields = body.fields() if body else {}
    return conversation_state(await conversations.create(agent_id, fields))


@router.get("")
async def list_conversations(
    conversations: ConversationsDep, query: Annotated[ConversationListQuery, Query()]
) -> list[ConversationState]:
    """List conversations, newest first unless asked otherwise."""
    found = await conversations.list(query.filter(), query.page(), query.sort_key())
    return [conversation_state(view) for view in found]


@router.get("/{conversation_id}")
async def retrieve_conversation(
    conversation_id: ThreadPath, conversations: ConversationsDep
) -> ConversationState:
    """One conversation."""
    return conversation_state(await conversations.fetch(conversation_id))


@router.patch("/{conversation_id}")
async def update_conversation(
    conversation_id: ThreadPath, conversations: ConversationsDep, body: ConversationBody
) -> ConversationState:
    """Change a conversation."""
    return conversation_state(await conversations.update(conversation_id, body.fields()))


@router.delete("/{conversation_id}")
async def delete_conversation(
    conversation_id: ThreadPath, conversations: ConversationsDep
) -> dict[str, str]:
    """Delete a conversation and its messages."""
    await conversations.delete(conversation_id)
    return {"message": f"{conversation_id} was deleted"}


@router.get(
    "/{conversation_id}/messages",
    response_model=list[MessageState],
    response_model_exclude_unset=True,
)
async def list_conversation_messages(
    conversation_id: ThreadPath,
    conversations: ConversationsDep,
    database: DatabaseDep,
    query: Annotated[MessageListQuery, Query()],
    agent_id: AgentQuery = None,
) -> list[dict[str, Any]]:
    """List the messages of a conversation, newest first unless asked otherwise."""
    thread = await conversations.thread(conversation_id, agent_id)
    if query.group_id is not None:
        return []
    rows = await history_repository.list_messages(
        database.ask,
        database.vault,
        thread.agent_id,
        query.filter(thread.conversation_id),
        query.page(default_limit=DEFAULT_LIMIT),
    )
    return shown(rows, query.view())


@router.post("/{conversation_id}/messages", include_in_schema=False)
async def send_on(
    conversation_id: ThreadPath, request: Request, turns: TurnsDep, sender: SenderDep
) -> Response:
    """Run a turn of an agent's default conversation."""
    body = await _json_object(request)
    agent_id = _default_agent(conversation_id, body)
    body.setdefault("streaming", True)
    return _passed_on(await turns.post(f"/v1/agents/{agent_id}/messages", body, sender))


@router.post("/{conversation_id}/compact", include_in_schema=False)
async def compact(
    conversation_id: ThreadPath, request: Request, turns: TurnsDep, sender: SenderDep
) -> Response:
    """Compact an agent's default conversation; others are answered by instances."""
    body = await _json_object(request) if await request.body() else {}
    agent_id = _default_agent(conversation_id, body)
    return _passed_on(await turns.post(f"/v1/agents/{agent_id}/summarize", body, sender))


@router.post("/{conversation_id}/recompile", include_in_schema=False)
async def recompile(
    conversation_id: ThreadPath, request: Request, turns: TurnsDep, sender: SenderDep
) -> Response:
    """The system prompt of an agent's default conversation; of others, instances answer."""
    body = await _json_object(request) if await request.body() else {}
    agent_id = _default_agent(conversation_id, body)
    return _passed_on(await turns.post(f"/v1/agents/{agent_id}/recompile", body, sender))


@router.post("/{conversation_id}/fork")
async def fork_conversation(
    conversation_id: ThreadPath,
    conversations: ConversationsDep,
    agent_id: AgentQuery = None,
    message_id: Annotated[MessageId | None, Query()] = None,
    hidden: Annotated[bool, Query()] = False,
) -> ConversationState:
    """Begin a conversation with the messages of this one, up to and with `message_id`."""
    thread = await conversations.thread(conversation_id, agent_id)
    return conversation_state(await conversations.fork(thread, message_id, hidden=hidden))


@router.post("/{conversation_id}/cancel")
async def cancel_conversation(
    conversation_id: ThreadPath,
    conversations: ConversationsDep,
    running: RunningTurnsDep,
    agent_id: AgentQuery = None,
) -> dict[str, str]:
    """Cancel the turns of a conversation; answers with the runs."""
    thread = await conversations.thread(conversation_id, agent_id)
    return dict.fromkeys(await running.cancel(thread.id), "cancelled")


def _default_agent(conversation_id: str, body: dict[str, Any]) -> str:
    agent_id = body.pop("agent_id", None) if conversation_id == "default" else conversation_id
    if not isinstance(agent_id, str) or not agent_id.startswith("agent-"):
        raise BadInputError("`agent_id` must name the agent whose default conversation is meant")
    return agent_id


def _passed_on(answer: httpx.Response) -> Response:
    kept = {"content-type", "x-should-retry", "retry-after"}
    headers = {name: value for name, value in answer.headers.items() if name in kept}
    return StreamingResponse(
        answer.aiter_raw(), answer.status_code, headers, background=BackgroundTask(answer.aclose)
    )


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise BadInputError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadInputError("the body must be a JSON object")
    return body
