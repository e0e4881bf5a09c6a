"""Queries on folders, their documents, and who may read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Text, cast, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from o_platform.agents.paging import Page, fetch_page
from o_platform.db.models import Agent, AgentFolder, Archive, File, Folder, OpenFile, Passage
from o_platform.errors import NotFoundError

READING_TOOLS: Final = ("open_files", "grep_files", "semantic_search_files")
"""Tools of agents that read folders."""


async def fetch_folder(session: AsyncSession, folder_id: str, *, lock: bool = False) -> Folder:
    """The folder with this id, locked until the transaction ends if asked.

    Who attaches it to an agent meanwhile does not wait: they have locked the agent, which whoever
    locks a folder wants next.

    Raises:
        NotFoundError: there is none.
    """
    folder = await session.get(
        Folder, folder_id, with_for_update={"key_share": True} if lock else None,
        populate_existing=lock,
    )  # fmt: skip
    if folder is None:
        raise NotFoundError(f"no folder has the id {folder_id!r}", folder_id=folder_id)
    return folder


async def list_folders(session: AsyncSession, name: str | None, page: Page) -> list[Folder]:
    """A page of the folders, or the one of this name."""
    statement = select(Folder)
    if name is not None:
        statement = statement.where(Folder.name == name)
    return await fetch_page(session, statement, Folder.id, (Folder.created_at, Folder.id), page)


async def archives_of_folders(
    session: AsyncSession, folder_ids: Sequence[str]
) -> dict[str, Archive]:
    """The archive of each of these folders."""
    rows = await session.scalars(select(Archive).where(Archive.folder_id.in_(folder_ids)))
    return {archive.folder_id or "": archive for archive in rows}


async def list_files(
    session: AsyncSession, folder_id: str, page: Page, *, content: bool
) -> list[File]:
    """A page of a folder's documents, with their texts if asked."""
    statement = select(File).where(File.folder_id == folder_id)
    if content:
        statement = statement.options(undefer(File.content))
    return await fetch_page(session, statement, File.id, (File.created_at, File.id), page)


async def fetch_file(
    session: AsyncSession, folder_id: str, file_id: str, *, content: bool = False
) -> File:
    """A document of this folder, with its text if asked.

    Raises:
        NotFoundError: it has no such document.
    """
    wanted = select(File).where(File.id == file_id, File.folder_id == folder_id)
    if content:
        wanted = wanted.options(undefer(File.content))
    file = await session.scalar(wanted)
    if file is None:
        raise NotFoundError(f"{folder_id} has no file {file_id!r}", file_id=file_id)
    return file


async def names_in(session: AsyncSession, folder_id: str) -> dict[str, str]:
    """Ids of a folder's documents by name."""
    rows = await session.execute(select(File.name, File.id).where(File.folder_id == folder_id))
    return {name: file_id for name, file_id in rows}


async def unembedded_chunks(session: AsyncSession, files: Sequence[File]) -> dict[str, int]:
    """How many chunks of each of these documents lack their vector; those without any left out."""
    if not files:
        return {}
    ids = [file.id for file in files]
    filed = func.unnest(Passage.tags).label("file_id")
    waiting = select(filed).where(
        Passage.unembedded, Passage.tags.bool_op("&&")(cast(ids, ARRAY(Text)))
    ).subquery()  # fmt: skip
    counted = select(waiting.c.file_id, func.count()).group_by(waiting.c.file_id)
    return {file_id: count for file_id, count in await session.execute(counted)}


async def delete_chunks(session: AsyncSession, folder_id: str, file_id: str) -> None:
    """Forget what is searched of a document."""
    archive = select(Archive.id).where(Archive.folder_id == folder_id).scalar_subquery()
    filed = Passage.tags.bool_op("@>")(cast([file_id], ARRAY(Text)))
    gone = delete(Passage).where(Passage.archive_id == archive, filed)
    await session.execute(gone.execution_options(synchronize_session=False))


async def readers_of(session: AsyncSession, folder_id: str) -> list[str]:
    """Ids of the agents that may read the folder, in order."""
    wanted = select(AgentFolder.agent_id).where(AgentFolder.folder_id == folder_id)
    return list(await session.scalars(wanted.order_by(AgentFolder.agent_id)))


async def list_readers(session: AsyncSession, folder_id: str, page: Page) -> list[Agent]:
    """A page of the agents that may read the folder."""
    reads = select(AgentFolder.agent_id).where(AgentFolder.folder_id == folder_id)
    statement = select(Agent).where(Agent.id.in_(reads))
    return await fetch_page(session, statement, Agent.id, (Agent.created_at, Agent.id), page)


async def list_folders_of(session: AsyncSession, agent_id: str, page: Page) -> list[Folder]:
    """A page of the folders that the agent may read."""
    read = select(AgentFolder.folder_id).where(AgentFolder.agent_id == agent_id)
    statement = select(Folder).where(Folder.id.in_(read))
    return await fetch_page(session, statement, Folder.id, (Folder.created_at, Folder.id), page)


async def give_folder(session: AsyncSession, agent: Agent, folder_id: str) -> None:
    """Let the agent read the folder, and have the tools for that.

    Raises:
        NotFoundError: there is no such folder.
    """
    await fetch_folder(session, folder_id)
    row = insert(AgentFolder).values(agent_id=agent.id, folder_id=folder_id)
    await session.execute(row.on_conflict_do_nothing())
    agent.tools = list(dict.fromkeys([*agent.tools, *READING_TOOLS]))


async def folders_of_agents(
    session: AsyncSession, agent_ids: Sequence[str]
) -> dict[str, list[tuple[Folder, Archive]]]:
    """The folders that each of these agents reads, with their archives."""
    rows = await session.execute(
        select(AgentFolder.agent_id, Folder, Archive)
        .join(Folder, Folder.id == AgentFolder.folder_id)
        .join(Archive, Archive.folder_id == Folder.id)
        .where(AgentFolder.agent_id.in_(agent_ids))
        .order_by(AgentFolder.agent_id, AgentFolder.attached_at, Folder.id)
    )
    read: dict[str, list[tuple[Folder, Archive]]] = {agent_id: [] for agent_id in agent_ids}
    for agent_id, folder, archive in rows:
        read[agent_id].append((folder, archive))
    return read


async def take_folder(session: AsyncSession, agent: Agent, folder_id: str) -> None:
    """Let the agent read the folder no more: close its documents; with the last one its tools go.

    Raises:
        NotFoundError: it does not read it.
    """
    gone = (
        delete(AgentFolder)
        .where(AgentFolder.agent_id == agent.id, AgentFolder.folder_id == folder_id)
        .returning(AgentFolder.folder_id)
    )
    if await session.scalar(gone) is None:
        raise NotFoundError(f"{agent.id} does not have {folder_id!r}", folder_id=folder_id)
    of_folder = select(File.id).where(File.folder_id == folder_id)
    await session.execute(
        delete(OpenFile)
        .where(OpenFile.agent_id == agent.id, OpenFile.file_id.in_(of_folder))
        .execution_options(synchronize_session=False)
    )
    left = select(func.count()).select_from(AgentFolder).where(AgentFolder.agent_id == agent.id)
    if not await session.scalar(left):
        agent.tools = [name for name in agent.tools if name not in READING_TOOLS]


async def replace_folders(session: AsyncSession, agent: Agent, folder_ids: Sequence[str]) -> None:
    """Let the agent read exactly these folders.

    Raises:
        NotFoundError: a folder does not exist.
    """
    read = select(AgentFolder.folder_id).where(AgentFolder.agent_id == agent.id)
    for folder_id in set(await session.scalars(read)).difference(folder_ids):
        await take_folder(session, agent, folder_id)
    for folder_id in dict.fromkeys(folder_ids):
        await give_folder(session, agent, folder_id)
