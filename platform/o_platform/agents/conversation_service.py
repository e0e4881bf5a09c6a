"""What can be done with conversations, as whole transactions.

Everywhere a thread is either a conversation or, as `default`, what an agent has of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_conversation_id
from o_platform.agents import conversation_repository as repository
from o_platform.agents.cache import ContextCache
from o_platform.agents.conversation_repository import ConversationFilter
from o_platform.agents.defaults import IN_CONTEXT_MESSAGES
from o_platform.agents.paging import Page
from o_platform.agents.repository import announce_agents
from o_platform.agents.service import existing_agent
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import Conversation, Message
from o_platform.errors import NotFoundError


class ConversationFields(TypedDict, total=False):
    """What a caller may set of a conversation; absent keys stay as they are."""

    summary: str | None
    description: str | None
    model: str | None
    model_settings: dict[str, Any] | None
    context_window_limit: int | None
    hidden: bool
    is_archived: bool


@dataclass(frozen=True, slots=True)
class ConversationView:
    """A conversation, and the ids of its messages in context, oldest first."""

    conversation: Conversation
    message_ids: list[str]


@dataclass(frozen=True, slots=True)
class Thread:
    """An agent, in a conversation of its (None: its default one)."""

    agent_id: str
    conversation_id: str | None = None

    @property
    def id(self) -> str:
        """What orders its turns."""
        return self.conversation_id or self.agent_id


class ConversationService:
    """Creates, reads, changes, forks and deletes conversations."""

    def __init__(self, database: Database, cache: ContextCache) -> None:
        """`cache` forgets what has changed."""
        self._database = database
        self._cache = cache

    async def create(self, agent_id: str, fields: ConversationFields) -> ConversationView:
        """Begin a conversation.

        Raises:
            NotFoundError: there is no such agent.
        """

        async def change(session: AsyncSession) -> ConversationView:
            return await _view(session, await _insert(session, agent_id, fields))

        return await in_unit(self._database, change)

    async def fetch(self, conversation_id: str) -> ConversationView:
        """The conversation with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            return await _view(session, await existing_conversation(session, conversation_id))

    async def list(
        self, wanted: ConversationFilter, page: Page, order_by: str
    ) -> Sequence[ConversationView]:
        """A page of conversations."""
        async with self._database.unit_of_work() as session:
            found = await repository.list_conversations(session, wanted, page, order_by)
            return await _views(session, found)

    async def update(self, conversation_id: str, fields: ConversationFields) -> ConversationView:
        """Change a conversation.

        Raises:
            NotFoundError: there is none.
        """

        async def change(session: AsyncSession) -> ConversationView:
            conversation = await existing_conversation(session, conversation_id)
            _apply(conversation, fields)
            conversation.version += 1
            await announce_agents(session, [conversation_id])
            return await _view(session, conversation)

        view = await in_unit(self._database, change)
        await self._cache.drop([conversation_id])
        return view

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation and its messages; the agent stays.

        Raises:
            NotFoundError: there is none.
        """

        async def change(session: AsyncSession) -> None:
            await existing_conversation(session, conversation_id)
            await repository.delete_conversation(session, conversation_id)
            await announce_agents(session, [conversation_id])

        await in_unit(self._database, change)
        await self._cache.drop([conversation_id])

    async def fork(
        self, thread: Thread, message_id: str | None, *, hidden: bool
    ) -> ConversationView:
        """Begin a conversation with the messages of another, up to and with `message_id`.

        Raises:
            NotFoundError: no such thread, or no such message in it.
        """

        async def change(session: AsyncSession) -> ConversationView:
            fields = await _inherited(session, thread)
            fields["hidden"] = hidden
            fork = await _insert(session, thread.agent_id, fields)
            last_seq = await _seq_of(session, thread, message_id) if message_id else None
            await repository.copy_messages(
                session, thread.agent_id, thread.conversation_id, fork, last_seq
            )
            return await _view(session, fork)

        return await in_unit(self._database, change)

    async def thread(self, conversation_id: str, agent_id: str | None) -> Thread:
        """The thread that a path names: a conversation, an agent, or `default` with an agent.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            if conversation_id.startswith("conv-"):
                found = await existing_conversation(session, conversation_id)
                return Thread(found.agent_id, found.id)
            named = agent_id if conversation_id == "default" else conversation_id
            return Thread((await existing_agent(session, named or "")).id)


async def existing_conversation(session: AsyncSession, conversation_id: str) -> Conversation:
    """The conversation with this id.

    Raises:
        NotFoundError: there is none.
    """
    found = await repository.fetch_conversation(session, conversation_id)
    if found is None:
        raise NotFoundError(
            f"no conversation has the id {conversation_id!r}", conversation_id=conversation_id
        )
    return found


async def _insert(session: AsyncSession, agent_id: str, fields: ConversationFields) -> Conversation:
    agent = await existing_agent(session, agent_id)
    conversation = Conversation(id=new_conversation_id(agent.id), agent_id=agent.id)
    _apply(conversation, fields)
    session.add(conversation)
    await session.flush()
    return conversation


def _apply(conversation: Conversation, fields: ConversationFields) -> None:
    columns: dict[str, Any] = {**fields}
    is_archived = columns.pop("is_archived", None)
    if is_archived is not None:
        conversation.archived_at = func.now() if is_archived else None
    for name, value in columns.items():
        setattr(conversation, name, value)
    conversation.updated_at = func.now()


async def _inherited(session: AsyncSession, thread: Thread) -> ConversationFields:
    if thread.conversation_id is None:
        return {}
    source = await existing_conversation(session, thread.conversation_id)
    return {
        "summary": source.summary,
        "description": source.description,
        "model": source.model,
        "model_settings": source.model_settings,
        "context_window_limit": source.context_window_limit,
    }


async def _seq_of(session: AsyncSession, thread: Thread, message_id: str) -> int:
    found = select(Message.seq).where(
        Message.id == message_id,
        Message.agent_id == thread.agent_id,
        Message.conversation_id.is_not_distinct_from(thread.conversation_id),
    )
    seq = await session.scalar(found)
    if seq is None:
        raise NotFoundError(f"{thread.id} has no message {message_id!r}", message_id=message_id)
    return seq


async def _view(session: AsyncSession, conversation: Conversation) -> ConversationView:
    await session.flush()
    await session.refresh(conversation)
    return (await _views(session, [conversation]))[0]


async def _views(
    session: AsyncSession, conversations: Sequence[Conversation]
) -> list[ConversationView]:
    ids = [conversation.id for conversation in conversations]
    if not ids:
        return []
    messages = await repository.newest_message_ids(session, ids, IN_CONTEXT_MESSAGES)
    return [ConversationView(one, messages[one.id]) for one in conversations]
