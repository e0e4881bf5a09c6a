"""`/v1/messages`: the messages of all agents."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from o_contracts.messages import MessageType
from o_platform.agents import history_repository
from o_platform.api.deps import DatabaseDep
from o_platform.api.fields import MessageId, PageQuery
from o_platform.api.messages.endpoints import DEFAULT_LIMIT, shown
from o_platform.api.messages.schemas import MessageState
from o_platform.api.messages.wire import MessageView
from o_platform.db.models import Message
from o_platform.errors import NotFoundError

router = APIRouter(prefix="/v1/messages", tags=["messages"])
MessagePath = Annotated[MessageId, Path()]


class AllMessagesQuery(PageQuery):
    """Which messages to list."""

    before: MessageId | None = None
    after: MessageId | None = None
    conversation_id: str | None = None
    include_return_message_types: list[MessageType] | None = None


@router.get("", response_model=list[MessageState], response_model_exclude_unset=True)
async def list_all_messages(
    database: DatabaseDep, query: Annotated[AllMessagesQuery, Query()]
) -> list[dict[str, Any]]:
    """List the messages of all agents, newest first unless asked otherwise."""
    async with database.unit_of_work() as session:
        rows = await history_repository.list_all_messages(
            session,
            query.include_return_message_types,
            query.conversation_id,
            query.page(default_limit=DEFAULT_LIMIT),
        )
    return shown(rows, MessageView(assistant_tool=None))


@router.get("/{message_id}", response_model=list[MessageState], response_model_exclude_unset=True)
async def retrieve_message(message_id: MessagePath, database: DatabaseDep) -> list[dict[str, Any]]:
    """One message, as the list of one that the API makes of it."""
    async with database.unit_of_work() as session:
        row: Message | None = await history_repository.fetch_message(session, message_id)
    if row is None:
        raise NotFoundError(f"no message has the id {message_id!r}", message_id=message_id)
    return shown([row], MessageView(assistant_tool=None))
