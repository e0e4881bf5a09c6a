"""Queries on archives, and on which agents hold them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.paging import Page, fetch_page
from o_platform.db.engine import CHANNEL_EMBEDDINGS, announce
from o_platform.db.models import AgentArchive, Archive
from o_platform.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class ArchiveFilter:
    """Which archives to list; what is absent does not restrict."""

    name: str | None = None
    agent_id: str | None = None


async def fetch_archive(session: AsyncSession, archive_id: str, *, lock: bool = False) -> Archive:
    """The archive with this id, locked until the transaction ends if asked.

    Raises:
        NotFoundError: there is none.
    """
    archive = await session.get(
        Archive, archive_id, with_for_update=True if lock else None, populate_existing=lock
    )
    if archive is None:
        raise NotFoundError(f"no archive has the id {archive_id!r}", archive_id=archive_id)
    return archive


async def list_archives(session: AsyncSession, wanted: ArchiveFilter, page: Page) -> list[Archive]:
    """A page of the archives that pass the filter."""
    statement = select(Archive).where(Archive.folder_id.is_(None))
    if wanted.name is not None:
        statement = statement.where(Archive.name == wanted.name)
    if wanted.agent_id is not None:
        held = select(AgentArchive.archive_id).where(AgentArchive.agent_id == wanted.agent_id)
        statement = statement.where(Archive.id.in_(held))
    keys = (Archive.created_at, Archive.id)
    return await fetch_page(session, statement, Archive.id, keys, page)


async def models_in_force(session: AsyncSession) -> list[str]:
    """The embedding models that some archive has."""
    return list(await session.scalars(select(Archive.embedding).distinct()))


async def delete_archive(session: AsyncSession, archive_id: str) -> None:
    """Delete the archive with its passages.

    Raises:
        NotFoundError: there is none.
    """
    gone = delete(Archive).where(Archive.id == archive_id).returning(Archive.id)
    if await session.scalar(gone) is None:
        raise NotFoundError(f"no archive has the id {archive_id!r}", archive_id=archive_id)


async def detach_archive(session: AsyncSession, agent_id: str, archive_id: str) -> None:
    """Let the agent search the archive no more; an agent's own archive stays without an owner.

    Raises:
        NotFoundError: the agent does not hold it.
    """
    gone = (
        delete(AgentArchive)
        .where(AgentArchive.agent_id == agent_id, AgentArchive.archive_id == archive_id)
        .returning(AgentArchive.archive_id)
    )
    if await session.scalar(gone) is None:
        raise NotFoundError(
            f"{agent_id} does not hold {archive_id!r}", agent_id=agent_id, archive_id=archive_id
        )
    own = update(Archive).where(Archive.id == archive_id, Archive.owner_id == agent_id)
    await session.execute(own.values(owner_id=None))


async def keep_shared(session: AsyncSession, agent_id: str) -> None:
    """Before the agent goes: its own archive stays if another agent holds it too."""
    others = exists().where(
        AgentArchive.archive_id == Archive.id, AgentArchive.agent_id != agent_id
    )
    own = update(Archive).where(Archive.owner_id == agent_id, others).values(owner_id=None)
    await session.execute(own.execution_options(synchronize_session=False))


async def move_own(session: AsyncSession, agent_id: str, embedding: str) -> None:
    """Let the agent's own archive move to another embedding model; a job does the work."""
    own = await session.scalar(select(Archive).where(Archive.owner_id == agent_id))
    if own is not None:
        move(own, embedding)
        await announce(session, CHANNEL_EMBEDDINGS, own.id)


def move(archive: Archive, embedding: str) -> None:
    """Let an archive move to another embedding model; a job does the work."""
    if (archive.next_embedding or archive.embedding) == embedding:
        return
    archive.is_untidy = archive.is_untidy or archive.next_embedding is not None
    archive.next_embedding = None if archive.embedding == embedding else embedding
    archive.embedded_up_to = ""
