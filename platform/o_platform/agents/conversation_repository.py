"""Queries on conversations and their messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.agents.paging import Key, Page, fetch_page
from o_platform.db.models import Conversation, Message

_SORT_KEYS: Final[dict[str, Key]] = {
    "created_at": Conversation.created_at,
    "last_message_at": func.coalesce(Conversation.last_message_at, Conversation.created_at),
}

_COPIED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations to list; what is absent does not restrict."""

    agent_id: str | None = None
    summary_search: str | None = None
    archive_status: Literal["unarchived", "archived", "all"] = "unarchived"


async def fetch_conversation(session: AsyncSession, conversation_id: str) -> Conversation | None:
    """The conversation with this id."""
    return await session.get(Conversation, conversation_id)


async def list_conversations(
    session: AsyncSession, wanted: ConversationFilter, page: Page, order_by: str
) -> list[Conversation]:
    """A page of the conversations that pass the filter and are not hidden."""
    statement = select(Conversation).where(Conversation.hidden.is_(False))
    if wanted.agent_id is not None:
        statement = statement.where(Conversation.agent_id == wanted.agent_id)
    if wanted.summary_search:
        found = Conversation.summary.icontains(wanted.summary_search, autoescape=True)
        statement = statement.where(found)
    if wanted.archive_status == "unarchived":
        statement = statement.where(Conversation.archived_at.is_(None))
    elif wanted.archive_status == "archived":
        statement = statement.where(Conversation.archived_at.is_not(None))
    keys = (_SORT_KEYS[order_by], Conversation.id)
    return await fetch_page(session, statement, Conversation.id, keys, page)


async def newest_message_ids(
    session: AsyncSession, conversation_ids: Sequence[str], newest: int
) -> dict[str, list[str]]:
    """Ids of each conversation's `newest` messages, oldest first."""
    numbered = (
        select(
            Message.conversation_id,
            Message.id,
            Message.seq,
            func.row_number()
            .over(partition_by=Message.conversation_id, order_by=Message.seq.desc())
            .label("place"),
        )
        .where(Message.conversation_id.in_(conversation_ids))
        .subquery()
    )
    rows = await session.execute(
        select(numbered.c.conversation_id, numbered.c.id)
        .where(numbered.c.place <= newest)
        .order_by(numbered.c.seq)
    )
    ids: dict[str, list[str]] = {conversation_id: [] for conversation_id in conversation_ids}
    for conversation_id, message_id in rows:
        ids[conversation_id].append(message_id)
    return ids


async def copy_messages(
    session: AsyncSession,
    agent_id: str,
    source: str | None,
    target: Conversation,
    last_seq: int | None,
) -> None:
    """Copy messages of a thread (None: the default one), up to `last_seq`, under new ids."""
    after = 0
    while True:
        part = (
            select(Message)
            .where(
                Message.agent_id == agent_id,
                Message.conversation_id.is_not_distinct_from(source),
                Message.seq > after,
                *([Message.seq <= last_seq] if last_seq is not None else []),
            )
            .order_by(Message.seq)
            .limit(_COPIED_AT_ONCE)
        )
        rows = list(await session.scalars(part))
        if not rows:
            return
        session.add_all(_copy_of(row, target.id) for row in rows)
        target.message_count += len(rows)
        await session.flush()
        after = rows[-1].seq


def _copy_of(row: Message, target: str) -> Message:
    """A message of the target thread; as a row of its own it is sealed for that."""
    copy_id = new_id("message")
    return Message(
        id=copy_id, conversation_id=target, agent_id=row.agent_id, type=row.type,
        body={**row.body, "id": copy_id}, created_at=row.created_at,
    )  # fmt: skip


async def delete_conversation(session: AsyncSession, conversation_id: str) -> None:
    """Delete a conversation and its messages."""
    await session.execute(delete(Message).where(Message.conversation_id == conversation_id))
    await session.execute(delete(Conversation).where(Conversation.id == conversation_id))
