"""What can be done with folders and their documents, as whole transactions.

What is plain text is read while it is uploaded; all else, and cutting texts up for searches, is
left to a job (`agents.file_reading`), which every upload announces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final, Literal, TypedDict

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.agents import folder_repository as repository
from o_platform.agents import repository as agent_repository
from o_platform.agents.cache import ContextCache
from o_platform.agents.defaults import DEFAULT_EMBEDDING
from o_platform.agents.paging import Page
from o_platform.agents.unit import in_unit
from o_platform.db.engine import CHANNEL_FILES, Database, announce
from o_platform.db.models import Agent, Archive, File, Folder
from o_platform.errors import ConflictError
from o_platform.memory.documents import kind_of, plain_text
from o_platform.memory.embedders import Embedders

DEFAULT_CHUNK: Final = 1_200
"""Characters of a chunk: 300 tokens or so."""
Duplicates = Literal["skip", "error", "suffix", "replace"]


@dataclass(frozen=True, slots=True)
class NewFolder:
    """A folder to create; `chunk_size` in characters."""

    name: str
    description: str | None = None
    instructions: str | None = None
    embedding: str = DEFAULT_EMBEDDING
    chunk_size: int = DEFAULT_CHUNK
    metadata: dict[str, Any] | None = None


class FolderChanges(TypedDict, total=False):
    """What to change of a folder; absent keys stay as they are."""

    name: str
    description: str | None
    instructions: str | None
    meta: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Upload:
    """A document that is brought."""

    name: str
    original_name: str
    media_type: str
    data: bytes
    duplicates: Duplicates = "suffix"


@dataclass(frozen=True, slots=True)
class FolderView:
    """A folder and the archive that its documents are searched in."""

    folder: Folder
    archive: Archive


@dataclass(frozen=True, slots=True)
class FileView:
    """A document, and how many of its chunks are not embedded yet."""

    file: File
    unembedded: int = 0
    content: str | None = field(default=None)


class FolderService:
    """Creates, reads, changes and deletes folders and documents."""

    def __init__(self, database: Database, cache: ContextCache, embedders: Embedders) -> None:
        """`cache` is told of the agents that read what changes."""
        self._database = database
        self._cache = cache
        self._embedders = embedders

    async def create(self, wanted: NewFolder) -> FolderView:
        """Create a folder.

        Raises:
            ConflictError: its name is taken.
            OError: its embedding model cannot be reached.
        """
        dimensions = await self._embedders.dimensions(wanted.embedding)
        folder = Folder(
            id=new_id("source"), name=wanted.name, description=wanted.description,
            instructions=wanted.instructions, chunk_size=wanted.chunk_size, meta=wanted.metadata,
        )  # fmt: skip
        try:
            async with self._database.unit_of_work() as session:
                session.add(folder)
                await session.flush()
                session.add(
                    Archive(
                        id=new_id("archive"), name=wanted.name, embedding=wanted.embedding,
                        dimensions=dimensions, meta={}, folder_id=folder.id,
                    )
                )  # fmt: skip
                return await _view(session, folder)
        except IntegrityError as error:
            raise _taken(wanted.name) from error

    async def fetch(self, folder_id: str) -> FolderView:
        """The folder with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            return await _view(session, await repository.fetch_folder(session, folder_id))

    async def list(self, name: str | None, page: Page) -> Sequence[FolderView]:
        """A page of folders."""
        async with self._database.unit_of_work() as session:
            return await views(session, await repository.list_folders(session, name, page))

    async def update(self, folder_id: str, changes: FolderChanges) -> FolderView:
        """Change a folder.

        Raises:
            NotFoundError: there is none.
            ConflictError: its new name is taken.
        """

        async def change(session: AsyncSession) -> tuple[FolderView, list[str]]:
            folder = await repository.fetch_folder(session, folder_id, lock=True)
            for name, value in changes.items():
                setattr(folder, name, value)
            folder.updated_at = func.now()
            await session.flush()
            return await _view(session, folder), await bump_readers(session, folder_id)

        try:
            view, readers = await in_unit(self._database, change)
        except IntegrityError as error:
            raise _taken(str(changes.get("name"))) from error
        await self._cache.drop(readers)
        return view

    async def delete(self, folder_id: str) -> None:
        """Delete a folder with its documents.

        Raises:
            NotFoundError: there is none.
        """

        async def change(session: AsyncSession) -> list[str]:
            folder = await repository.fetch_folder(session, folder_id, lock=True)
            readers = await bump_readers(session, folder_id)
            await session.delete(folder)
            return readers

        await self._cache.drop(await in_unit(self._database, change))

    async def readers(self, folder_id: str, page: Page) -> Sequence[Agent]:
        """A page of the agents that may read the folder.

        Raises:
            NotFoundError: there is no such folder.
        """
        async with self._database.unit_of_work() as session:
            await repository.fetch_folder(session, folder_id)
            return await repository.list_readers(session, folder_id, page)

    async def upload(self, folder_id: str, upload: Upload) -> FileView:
        """Put a document into a folder.

        Raises:
            NotFoundError: no such folder.
            BadInputError: it is of no kind that can be read, or no text although it says so.
            ConflictError: its name is taken, and that is not to be mended.
        """
        kind = kind_of(upload.original_name, upload.media_type)
        text = plain_text(upload.data) if kind == "text" else None

        async def change(session: AsyncSession) -> tuple[FileView, list[str]]:
            await repository.fetch_folder(session, folder_id, lock=True)
            present = await repository.names_in(session, folder_id)
            if upload.name in present and upload.duplicates == "skip":
                return await _file_view(session, folder_id, present[upload.name]), []
            if upload.name in present and upload.duplicates == "replace":
                await _remove(session, folder_id, present.pop(upload.name))
            file = _file(folder_id, upload, _free_name(upload, present), text)
            session.add(file)
            await session.flush()
            await announce(session, CHANNEL_FILES, file.id)
            view = await _file_view(session, folder_id, file.id)
            return view, await bump_readers(session, folder_id)

        view, readers = await in_unit(self._database, change)
        await self._cache.drop(readers)
        return view

    async def files(self, folder_id: str, page: Page, *, content: bool) -> Sequence[FileView]:
        """A page of a folder's documents, with their texts if asked.

        Raises:
            NotFoundError: no such folder.
        """
        async with self._database.unit_of_work() as session:
            await repository.fetch_folder(session, folder_id)
            found = await repository.list_files(session, folder_id, page, content=content)
            waiting = await repository.unembedded_chunks(session, found)
            return [
                FileView(one, waiting.get(one.id, 0), one.content if content else None)
                for one in found
            ]

    async def file(self, folder_id: str, file_id: str, *, content: bool) -> FileView:
        """A document of a folder, with its text if asked.

        Raises:
            NotFoundError: no such folder or document.
        """
        async with self._database.unit_of_work() as session:
            return await _file_view(session, folder_id, file_id, content=content)

    async def delete_file(self, folder_id: str, file_id: str) -> None:
        """Delete a document of a folder.

        Raises:
            NotFoundError: no such folder or document.
        """

        async def change(session: AsyncSession) -> list[str]:
            await repository.fetch_folder(session, folder_id, lock=True)
            await _remove(session, folder_id, file_id)
            return await bump_readers(session, folder_id)

        await self._cache.drop(await in_unit(self._database, change))


async def views(session: AsyncSession, folders: Sequence[Folder]) -> list[FolderView]:
    """These folders with their archives."""
    archives = await repository.archives_of_folders(session, [folder.id for folder in folders])
    return [FolderView(folder, archives[folder.id]) for folder in folders]


async def bump_readers(session: AsyncSession, folder_id: str) -> list[str]:
    """Make new versions of the agents that read the folder; returns their ids."""
    readers = await repository.readers_of(session, folder_id)
    await agent_repository.bump_agents(session, readers)
    return readers


async def _view(session: AsyncSession, folder: Folder) -> FolderView:
    await session.flush()
    await session.refresh(folder)
    return (await views(session, [folder]))[0]


async def _file_view(
    session: AsyncSession, folder_id: str, file_id: str, *, content: bool = False
) -> FileView:
    await repository.fetch_folder(session, folder_id)
    file = await repository.fetch_file(session, folder_id, file_id, content=content)
    waiting = await repository.unembedded_chunks(session, [file])
    return FileView(file, waiting.get(file.id, 0), file.content if content else None)


async def _remove(session: AsyncSession, folder_id: str, file_id: str) -> None:
    file = await repository.fetch_file(session, folder_id, file_id)
    await repository.delete_chunks(session, folder_id, file_id)
    await session.delete(file)
    await session.flush()


def _file(folder_id: str, upload: Upload, name: str, text: str | None) -> File:
    return File(
        id=new_id("file"), folder_id=folder_id, name=name, original_name=upload.original_name,
        media_type=upload.media_type, size_bytes=len(upload.data), status="pending",
        data=upload.data if text is None else None, content=text,
        lines=0 if text is None else text.count("\n") + 1,
    )  # fmt: skip


def _free_name(upload: Upload, present: dict[str, str]) -> str:
    """The document's name, or with `suffix` one that is like it and free.

    Raises:
        ConflictError: it is taken.
    """
    if upload.name not in present:
        return upload.name
    if upload.duplicates == "error":
        raise ConflictError(f"the folder has a file {upload.name!r} already", name=upload.name)
    path = PurePath(upload.name)
    number = 1
    while f"{path.stem}_({number}){path.suffix}" in present:
        number += 1
    return f"{path.stem}_({number}){path.suffix}"


def _taken(name: str) -> ConflictError:
    return ConflictError(f"a folder named {name!r} exists; choose another name", name=name)
