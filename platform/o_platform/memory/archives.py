"""Which archives an agent has: the one it keeps new passages in, and all that it searches."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.db.models import Agent, AgentArchive, Archive
from o_platform.errors import NotFoundError
from o_platform.memory import embeddings
from o_platform.memory.embedders import HASH_MODEL


async def archives_of(session: AsyncSession, agent_id: str) -> list[Archive]:
    """The archives that the agent searches, in the order in which it got them."""
    held = select(Archive).join(AgentArchive, AgentArchive.archive_id == Archive.id)
    held = held.where(AgentArchive.agent_id == agent_id)
    order = (AgentArchive.attached_at, AgentArchive.archive_id)
    return list(await session.scalars(held.order_by(*order)))


async def archive_for_new(session: AsyncSession, agent_id: str, dimensions: int = 0) -> Archive:
    """The archive that new passages of the agent go to: its first, or a new one of its own.

    Args:
        session: an open unit of work.
        agent_id: whose.
        dimensions: of the agent's embedding model, if known; without it, an archive made now is
            of `o/hash` until the agent's model has been asked.

    Raises:
        NotFoundError: there is no such agent; the transaction is spoiled.
    """
    held = await archives_of(session, agent_id)
    return held[0] if held else await _own(session, agent_id, dimensions)


async def attach(session: AsyncSession, agent_id: str, archive_ids: Sequence[str]) -> None:
    """Let the agent search these archives.

    Raises:
        NotFoundError: there is no such agent or archive; the transaction is spoiled.
    """
    rows = [{"agent_id": agent_id, "archive_id": archive_id} for archive_id in archive_ids]
    statement = insert(AgentArchive).values(rows).on_conflict_do_nothing()
    try:
        await session.execute(statement)
    except IntegrityError as error:
        raise NotFoundError(f"there is no agent {agent_id!r}", agent_id=agent_id) from error


async def _own(session: AsyncSession, agent_id: str, dimensions: int) -> Archive:
    agent = await session.get(Agent, agent_id)
    if agent is None:
        raise NotFoundError(f"there is no agent {agent_id!r}", agent_id=agent_id)
    has_model = dimensions > 0 or agent.embedding == HASH_MODEL
    made = {
        "id": new_id("archive"),
        "name": agent.name,
        "owner_id": agent_id,
        "embedding": agent.embedding if has_model else HASH_MODEL,
        "dimensions": dimensions or embeddings.DIMENSIONS,
        "next_embedding": None if has_model else agent.embedding,
    }
    # Two inserts at a time make one archive: the second waits, and finds the first one's.
    await session.execute(
        insert(Archive).values(made).on_conflict_do_nothing(index_elements=["owner_id"])
    )
    own = (await session.scalars(select(Archive).where(Archive.owner_id == agent_id))).one()
    await attach(session, agent_id, [own.id])
    return own
