"""What can be done with archives and passages, as whole transactions.

Embedding models may be slow or away: they are asked between transactions, never inside one. What
was embedded for a model that is no longer in force by then is kept without the vector, which the
job of `memory.reembedding` makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.agents import archive_repository as repository
from o_platform.agents.archive_repository import ArchiveFilter
from o_platform.agents.defaults import DEFAULT_EMBEDDING
from o_platform.agents.paging import Page
from o_platform.agents.service import existing_agent
from o_platform.db.engine import CHANNEL_EMBEDDINGS, Database, announce
from o_platform.db.models import Agent, Archive, Passage
from o_platform.memory import passages as stored
from o_platform.memory.archives import archive_for_new, archives_of, attach
from o_platform.memory.embedders import Embedders, Vector
from o_platform.memory.passages import NewPassage, PassagePage
from o_platform.memory.search import Hit, PassageQuery, query_models, search_archives


@dataclass(frozen=True, slots=True)
class NewArchive:
    """An archive to create."""

    name: str
    description: str | None = None
    embedding: str = DEFAULT_EMBEDDING
    metadata: dict[str, Any] = field(default_factory=dict)


class ArchiveChanges(TypedDict, total=False):
    """What to change of an archive; absent keys stay as they are."""

    name: str
    description: str | None
    embedding: str


class Kept(NamedTuple):
    """A passage with its vector, if that is made, and its archive."""

    passage: Passage
    archive: Archive
    vector: Vector | None = None


class ArchiveService:
    """Creates, reads, changes and deletes archives and their passages."""

    def __init__(self, database: Database, embedders: Embedders) -> None:
        """`embedders` are the embedding models that archives may have."""
        self._database = database
        self._embedders = embedders

    async def create(self, wanted: NewArchive) -> Archive:
        """Create an archive that no agent holds yet.

        Raises:
            OError: its embedding model does not exist, or cannot be reached.
        """
        dimensions = await self._embedders.dimensions(wanted.embedding)
        async with self._database.unit_of_work() as session:
            archive = Archive(
                id=new_id("archive"), name=wanted.name, description=wanted.description,
                embedding=wanted.embedding, dimensions=dimensions, meta=wanted.metadata,
            )  # fmt: skip
            session.add(archive)
            await session.flush()
            await session.refresh(archive)
            return archive

    async def fetch(self, archive_id: str) -> Archive:
        """The archive with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            return await repository.fetch_archive(session, archive_id)

    async def list(self, wanted: ArchiveFilter, page: Page) -> Sequence[Archive]:
        """A page of archives."""
        async with self._database.unit_of_work() as session:
            return await repository.list_archives(session, wanted, page)

    async def update(self, archive_id: str, changes: ArchiveChanges) -> Archive:
        """Change an archive. With another `embedding` its passages are embedded anew by a job.

        Raises:
            NotFoundError: there is none.
            OError: the embedding model does not exist, or cannot be reached.
        """
        embedding = changes.get("embedding")
        if embedding is not None:
            await self._embedders.dimensions(embedding)
        async with self._database.unit_of_work() as session:
            archive = await repository.fetch_archive(session, archive_id, lock=True)
            archive.name = changes.get("name", archive.name)
            archive.description = changes.get("description", archive.description)
            if embedding is not None:
                repository.move(archive, embedding)
                await announce(session, CHANNEL_EMBEDDINGS, archive_id)
            return archive

    async def delete(self, archive_id: str) -> None:
        """Delete an archive with its passages.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            await repository.delete_archive(session, archive_id)

    async def attach(self, agent_id: str, archive_id: str) -> None:
        """Let an agent search the archive too.

        Raises:
            NotFoundError: no such agent or archive.
        """
        async with self._database.unit_of_work() as session:
            await existing_agent(session, agent_id)
            await repository.fetch_archive(session, archive_id)
            await attach(session, agent_id, [archive_id])

    async def detach(self, agent_id: str, archive_id: str) -> None:
        """Let an agent search the archive no more.

        Raises:
            NotFoundError: no such agent, or it does not hold the archive.
        """
        async with self._database.unit_of_work() as session:
            await existing_agent(session, agent_id)
            await repository.detach_archive(session, agent_id, archive_id)

    async def keep(self, archive_id: str, wanted: Sequence[NewPassage]) -> Sequence[Kept]:
        """Keep texts in an archive.

        Raises:
            NotFoundError: no such archive.
            BadInputError: a text is blank.
            OError: its embedding model cannot be reached.
        """
        archive = await self.fetch(archive_id)
        vectors = await self._embed(archive.embedding, wanted)
        async with self._database.unit_of_work() as session:
            now = await repository.fetch_archive(session, archive_id)
            return await self._insert(session, now, archive.embedding, wanted, vectors)

    async def keep_for(self, agent_id: str, wanted: NewPassage) -> Sequence[Kept]:
        """Keep a text in the archive that the agent's new passages go to.

        Raises:
            NotFoundError: no such agent.
            BadInputError: the text is blank.
            OError: the embedding model cannot be reached.
        """
        async with self._database.unit_of_work() as session:
            agent = await existing_agent(session, agent_id)
            held = await archives_of(session, agent_id)
        model = held[0].embedding if held else agent.embedding
        vectors = await self._embed(model, [wanted])
        async with self._database.unit_of_work() as session:
            archive = await archive_for_new(session, agent_id, len(vectors[0]))
            return await self._insert(session, archive, model, [wanted], vectors)

    async def list_passages(self, agent_id: str, page: PassagePage) -> Sequence[Kept]:
        """A page of the passages of the agent's archives.

        Raises:
            NotFoundError: no such agent, or a cursor that names none of them.
        """
        async with self._database.unit_of_work() as session:
            held = {archive.id: archive for archive in await self._held(session, agent_id)}
            rows = await stored.list_passages(session, list(held), page)
        return [Kept(passage, held[passage.archive_id]) for passage in rows]

    async def forget_of(self, agent_id: str, passage_id: str) -> None:
        """Delete a passage of one of the agent's archives.

        Raises:
            NotFoundError: no such agent, or none of its archives has it.
        """
        async with self._database.unit_of_work() as session:
            held = await self._held(session, agent_id)
            await stored.delete_passage(session, [archive.id for archive in held], passage_id)

    async def forget(self, archive_id: str, passage_id: str) -> None:
        """Delete a passage of an archive.

        Raises:
            NotFoundError: no such archive, or it has no such passage.
        """
        async with self._database.unit_of_work() as session:
            await repository.fetch_archive(session, archive_id)
            await stored.delete_passage(session, [archive_id], passage_id)

    async def search_of(self, agent_id: str, query: PassageQuery) -> tuple[Agent, Sequence[Hit]]:
        """The agent, and what fits best in its archives.

        Raises:
            NotFoundError: no such agent.
            OError: an embedding model cannot be reached.
        """
        async with self._database.reading() as session:
            agent = await existing_agent(session, agent_id)
            held = await archives_of(session, agent_id)
        handles = [archive.embedding for archive in held]
        return agent, await self._search(handles, [archive.id for archive in held], query)

    async def search(self, archive_id: str | None, query: PassageQuery) -> Sequence[Hit]:
        """What fits best in an archive, or in all of them.

        Raises:
            NotFoundError: no such archive.
            OError: an embedding model cannot be reached.
        """
        async with self._database.reading() as session:
            if archive_id is not None:
                handles = [(await repository.fetch_archive(session, archive_id)).embedding]
            else:
                handles = await repository.models_in_force(session)
        return await self._search(handles, [archive_id] if archive_id else None, query)

    async def archives_by_id(self, hits: Sequence[Hit]) -> dict[str, Archive]:
        """The archives of these passages."""
        async with self._database.reading() as session:
            ids = dict.fromkeys(hit.passage.archive_id for hit in hits)
            return {id_: await repository.fetch_archive(session, id_) for id_ in ids}

    async def _search(
        self, handles: Sequence[str], ids: Sequence[str] | None, query: PassageQuery
    ) -> Sequence[Hit]:
        models = await query_models(self._embedders, handles, query)
        async with self._database.exchange() as exchange:
            return await search_archives(exchange, self._database.vault, ids, models, query)

    async def _held(self, session: AsyncSession, agent_id: str) -> Sequence[Archive]:
        await existing_agent(session, agent_id)
        return await archives_of(session, agent_id)

    async def _embed(self, model: str, wanted: Sequence[NewPassage]) -> Sequence[Vector]:
        for new in wanted:
            stored.check_text(new.text)
        return await self._embedders.get(model).embed([new.text for new in wanted])

    async def _insert(
        self,
        session: AsyncSession,
        archive: Archive,
        model: str,
        wanted: Sequence[NewPassage],
        vectors: Sequence[Vector],
    ) -> Sequence[Kept]:
        made = vectors if archive.embedding == model else []
        rows = await stored.insert_passages(session, archive, wanted, made)
        shown = made or (None,) * len(rows)
        return [Kept(row, archive, vector) for row, vector in zip(rows, shown, strict=True)]
