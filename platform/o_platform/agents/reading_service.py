"""What agents read: folders that they are given, documents that they have open.

The first folder of an agent brings the tools that read documents; with the last one they go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents import folder_repository, repository
from o_platform.agents.cache import ContextCache
from o_platform.agents.document_blocks import MAX_OPEN, WINDOW_CHARS, Document, window_text
from o_platform.agents.folder_service import FolderView, views
from o_platform.agents.paging import Page, fetch_page
from o_platform.agents.service import existing_agent, locked_agent
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import Agent, AgentFolder, File, Folder, OpenFile
from o_platform.db.sealed_columns import FILE_CONTENT, vault_of
from o_platform.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A document that an agent can read; `opened` and `text` if it is open."""

    file: File
    folder: Folder
    opened: OpenFile | None
    text: str | None


class _Found(NamedTuple):
    folders: dict[str, Folder]
    opened: dict[str, OpenFile]


class ReadingService:
    """Gives folders to agents, opens and closes documents."""

    def __init__(self, database: Database, cache: ContextCache) -> None:
        """`cache` is told of every agent whose context changes."""
        self._database = database
        self._cache = cache

    async def folders(self, agent_id: str, page: Page) -> Sequence[FolderView]:
        """A page of the folders that the agent reads.

        Raises:
            NotFoundError: there is no such agent.
        """
        async with self._database.unit_of_work() as session:
            await existing_agent(session, agent_id)
            found = await folder_repository.list_folders_of(session, agent_id, page)
            return await views(session, found)

    async def attach(self, agent_id: str, folder_id: str) -> None:
        """Let the agent read a folder.

        Raises:
            NotFoundError: no such agent or folder.
        """

        async def change(session: AsyncSession, agent: Agent) -> None:
            await folder_repository.give_folder(session, agent, folder_id)

        await self._change(agent_id, change)

    async def detach(self, agent_id: str, folder_id: str) -> None:
        """Let the agent read a folder no more.

        Raises:
            NotFoundError: no such agent, or it does not read the folder.
        """

        async def change(session: AsyncSession, agent: Agent) -> None:
            await folder_repository.take_folder(session, agent, folder_id)

        await self._change(agent_id, change)

    async def files(
        self, agent_id: str, page: Page, *, is_open: bool | None = None
    ) -> Sequence[ReadFile]:
        """A page of the documents that the agent can read, or only those (not) open.

        Raises:
            NotFoundError: there is no such agent.
        """
        async with self._database.unit_of_work() as session:
            agent = await existing_agent(session, agent_id)
            opened = select(OpenFile.file_id).where(OpenFile.agent_id == agent_id)
            wanted = select(File).where(File.folder_id.in_(_read_by(agent_id)))
            if is_open is not None:
                held = File.id.in_(opened)
                wanted = wanted.where(held if is_open else ~held)
            files = await fetch_page(session, wanted, File.id, (File.created_at, File.id), page)
            return await _read(session, agent, files)

    async def open(self, agent_id: str, file_id: str) -> Sequence[str]:
        """Open a document; returns the names of those that were closed for it.

        Raises:
            NotFoundError: no such agent, or it cannot read the document.
        """
        closed: list[str] = []

        async def change(session: AsyncSession, agent: Agent) -> None:
            await _readable(session, agent_id, file_id)
            row = insert(OpenFile).values(agent_id=agent_id, file_id=file_id)
            moment = {"opened_at": func.clock_timestamp()}
            await session.execute(
                row.on_conflict_do_update(
                    index_elements=["agent_id", "file_id"], set_=moment
                )
            )  # fmt: skip
            limit = max(int(agent.config.get("max_files_open", MAX_OPEN)), 1)
            closed[:] = await _close_oldest(session, agent_id, keep=limit)

        await self._change(agent_id, change)
        return closed

    async def close(self, agent_id: str, file_id: str) -> None:
        """Close a document, if it is open.

        Raises:
            NotFoundError: no such agent, or it cannot read the document.
        """

        async def change(session: AsyncSession, agent: Agent) -> None:
            await _readable(session, agent_id, file_id)
            await _close(session, agent_id, OpenFile.file_id == file_id)

        await self._change(agent_id, change)

    async def close_all(self, agent_id: str) -> Sequence[str]:
        """Close every document; returns their names.

        Raises:
            NotFoundError: no such agent.
        """
        closed: list[str] = []

        async def change(session: AsyncSession, agent: Agent) -> None:
            closed[:] = await _close_oldest(session, agent_id, keep=0)

        await self._change(agent_id, change)
        return closed

    async def _change(self, agent_id: str, change: Callable[[AsyncSession, Agent], Any]) -> None:
        async def changed(session: AsyncSession) -> None:
            agent = await locked_agent(session, agent_id)
            await change(session, agent)
            await session.flush()
            await repository.bump_agents(session, [agent_id])

        await in_unit(self._database, changed)
        await self._cache.drop([agent_id])


def read_id(agent_id: str, file_id: str) -> str:
    """Names an agent's relation to a document."""
    return f"file_agent-{agent_id.partition('-')[2]}-{file_id.partition('-')[2]}"


def opened_at(read: ReadFile) -> datetime | None:
    """When the document was opened last."""
    return read.opened.opened_at if read.opened is not None else None


def _read_by(agent_id: str) -> Any:
    return select(AgentFolder.folder_id).where(AgentFolder.agent_id == agent_id)


async def _readable(session: AsyncSession, agent_id: str, file_id: str) -> None:
    wanted = select(File.id).where(File.id == file_id, File.folder_id.in_(_read_by(agent_id)))
    if await session.scalar(wanted) is None:
        raise NotFoundError(f"{agent_id} reads no file {file_id!r}", file_id=file_id)


async def _close(session: AsyncSession, agent_id: str, which: Any) -> None:
    await session.execute(delete(OpenFile).where(OpenFile.agent_id == agent_id, which))


async def _close_oldest(session: AsyncSession, agent_id: str, *, keep: int) -> list[str]:
    """Close all but the `keep` documents that were opened last; returns their names."""
    newest = select(OpenFile.file_id).where(OpenFile.agent_id == agent_id)
    newest = newest.order_by(OpenFile.opened_at.desc(), OpenFile.file_id).offset(keep)
    ids = list(await session.scalars(newest))
    if ids:
        await _close(session, agent_id, OpenFile.file_id.in_(ids))
    return list(await session.scalars(select(File.name).where(File.id.in_(ids))))


async def _read(session: AsyncSession, agent: Agent, files: Sequence[File]) -> list[ReadFile]:
    found = await _relations(session, agent.id, files)
    chars = int(agent.config.get("per_file_view_window_char_limit", WINDOW_CHARS))
    read = []
    for file in files:
        window = found.opened.get(file.id)
        text = None
        if window is not None:
            stored = await session.scalar(select(File.content).where(File.id == file.id))
            content = FILE_CONTENT.opened(vault_of(session), stored, file.id)
            text = _visible(file, content or "", window, chars)
        read.append(ReadFile(file, found.folders[file.folder_id], window, text))
    return read


async def _relations(session: AsyncSession, agent_id: str, files: Sequence[File]) -> _Found:
    folders = await session.scalars(
        select(Folder).where(Folder.id.in_([file.folder_id for file in files]))
    )
    opened = await session.scalars(
        select(OpenFile).where(
            OpenFile.agent_id == agent_id, OpenFile.file_id.in_([file.id for file in files])
        )
    )
    return _Found({one.id: one for one in folders}, {one.file_id: one for one in opened})


def _visible(file: File, content: str, window: OpenFile, chars: int) -> str:
    lines = content.split("\n")[window.first_line : window.last_line]
    shown = Document(
        file.id, file.name, file.lines, True, window.first_line, window.last_line, "\n".join(lines)
    )
    return window_text(shown, chars)[0]
