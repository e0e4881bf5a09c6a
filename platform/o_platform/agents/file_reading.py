"""Reads uploaded documents and cuts their texts up for searches; one document at each step.

What is to be read is told by the database (`files.status`), so a job that dies goes on where it
was. Vectors are made by another job, which every new chunk announces (`memory.reembedding`).
"""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from o_platform.agents import folder_repository as repository
from o_platform.agents.cache import ContextCache
from o_platform.agents.folder_service import bump_readers
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import File, Folder
from o_platform.errors import BadInputError
from o_platform.memory.chunks import Chunk, chunked
from o_platform.memory.documents import document_text, kind_of
from o_platform.memory.passages import NewPassage, insert_passages

BATCH: Final = 500
_log = logging.getLogger(__name__)


class FileReading:
    """The job."""

    def __init__(self, database: Database, cache: ContextCache) -> None:
        """`cache` is told of the agents that can read a document now."""
        self._database = database
        self._cache = cache

    async def step(self) -> bool:
        """Read the oldest document that waits; returns whether there was one."""
        async with self._database.unit_of_work() as session:
            wanted = select(File).where(File.status == "pending").order_by(File.created_at)
            loaded = wanted.limit(1).options(undefer(File.data), undefer(File.content))
            file = await session.scalar(loaded)
        if file is None:
            return False
        text, problem = file.content, None
        if text is None:
            try:
                kind = kind_of(file.original_name, file.media_type)
                text = await document_text(file.data or b"", kind)
            except BadInputError as error:
                _log.info("a document cannot be read: %s", error.message, extra={"id": file.id})
                problem = error.message
        await self._keep(file.id, text, problem)
        return True

    async def _keep(self, file_id: str, text: str | None, problem: str | None) -> None:
        async def change(session: AsyncSession) -> list[str]:
            file = await session.get(File, file_id, with_for_update=True)
            if file is None or file.status != "pending":
                return []
            file.data = None
            if text is None:
                file.status, file.error = "error", problem
            else:
                await _cut_up(session, file, text)
            await session.flush()
            return await bump_readers(session, file.folder_id)

        await self._cache.drop(await in_unit(self._database, change))


async def _cut_up(session: AsyncSession, file: File, text: str) -> None:
    folder = await repository.fetch_folder(session, file.folder_id)
    chunks = chunked(text, folder.chunk_size)
    archive = (await repository.archives_of_folders(session, [folder.id]))[folder.id]
    for start in range(0, len(chunks), BATCH):
        batch = [_passage(folder, file, chunk) for chunk in chunks[start : start + BATCH]]
        await insert_passages(session, archive, batch, [])
    file.content, file.lines, file.chunks = text, text.count("\n") + 1, len(chunks)
    file.status, file.error = "embedding", None


def _passage(folder: Folder, file: File, chunk: Chunk) -> NewPassage:
    meta = {"file_id": file.id, "path": f"{folder.name}/{file.name}", "line": chunk.line}
    return NewPassage(chunk.text, [file.id], meta)
