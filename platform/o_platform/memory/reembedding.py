"""Makes the vectors that are missing, and lets archives move to another embedding model.

All that has to be done is told by the database, so a job that dies goes on where it was: passages
kept without a vector are marked `unembedded`; an archive that moves knows its `next_embedding` and
up to which passage it has come. Searches use the vectors of the model it leaves until every
passage has one of the next; then the next takes over, and the former's vectors are deleted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import Select, delete, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.engine import Database
from o_platform.db.models import Archive, Passage, PassageVector
from o_platform.db.models.memory import HNSW_OPTIONS, LARGEST_INDEXED, index_name
from o_platform.errors import OError
from o_platform.memory.embedders import Embedders, Vector

BATCH: Final = 64
DELETED_AT_ONCE: Final = 1_000
PAUSE_S: Final = 30.0
"""How long an archive is left alone whose model failed."""
_VALID_INDEXES: Final = text(
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = 'passage_vectors'::regclass AND i.indisvalid"
)
Work = Callable[[Archive], Awaitable[None]]
_log = logging.getLogger(__name__)


class Reembedding:
    """The job; each `step` is a batch."""

    def __init__(self, database: Database, embedders: Embedders) -> None:
        """`embedders` are the models that archives may have."""
        self._database = database
        self._embedders = embedders
        self._paused: dict[str, float] = {}

    async def step(self) -> bool:
        """Do the next batch; returns whether there was anything to do."""
        paused = self._still_paused()
        for find, work in (
            (_with_leavings, self._tidy),
            (_with_unembedded, self._embed_missing),
            (_with_next, self._move_on),
        ):
            async with self._database.unit_of_work() as session:
                archive = await session.scalar(find().where(Archive.id.not_in(paused)).limit(1))
            if archive is not None:
                await self._try(archive, work)
                return True
        return False

    async def ensure_indexes(self) -> None:
        """Build the approximate index of every dimension that an archive has."""
        async with self._database.unit_of_work() as session:
            used = set(await session.scalars(select(Archive.dimensions).distinct()))
            built = set(await session.scalars(_VALID_INDEXES))
        for dimensions in sorted(used):
            name = index_name(dimensions)
            if dimensions <= LARGEST_INDEXED and name not in built:
                await self._build(name, dimensions)

    async def _build(self, name: str, dimensions: int) -> None:
        options = ", ".join(f"{option}={value}" for option, value in HNSW_OPTIONS.items())
        # As text: an index of SQLAlchemy's would join the models, which hold what migrations make.
        create = (
            f"CREATE INDEX CONCURRENTLY {name} ON passage_vectors"
            f" USING hnsw (CAST(embedding AS halfvec({dimensions})) halfvec_cosine_ops)"
            f" WITH ({options}) WHERE dimensions = {dimensions}"
        )
        engine = self._database.engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            # What a build that was broken off left behind is never used.
            await connection.execute(text(f"DROP INDEX IF EXISTS {name}"))
            # By one process: it takes memory as it needs it, and leaves the other cores to turns.
            await connection.execute(text("SET max_parallel_maintenance_workers = 0"))
            await connection.execute(text(create))
            await connection.execute(text("RESET max_parallel_maintenance_workers"))

    async def _try(self, archive: Archive, work: Work) -> None:
        try:
            await work(archive)
        except OError as error:
            extra = {"archive_id": archive.id}
            _log.warning("passages were not embedded: %s", error.message, extra=extra)
            self._paused[archive.id] = asyncio.get_running_loop().time() + PAUSE_S

    def _still_paused(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        self._paused = {id_: until for id_, until in self._paused.items() if until > now}
        return list(self._paused)

    async def _tidy(self, archive: Archive) -> None:
        """Delete some vectors of models that an archive has left."""
        async with self._database.unit_of_work() as session:
            now = await session.get(Archive, archive.id, with_for_update=True)
            if now is None:
                return
            in_force = [now.embedding, *filter(None, [now.next_embedding])]
            left = select(PassageVector.passage_id, PassageVector.model).where(
                PassageVector.archive_id == now.id, PassageVector.model.not_in(in_force)
            )
            rows = (await session.execute(left.limit(DELETED_AT_ONCE))).all()
            key = tuple_(PassageVector.passage_id, PassageVector.model)
            await session.execute(delete(PassageVector).where(key.in_(rows)))
            now.is_untidy = len(rows) == DELETED_AT_ONCE

    async def _embed_missing(self, archive: Archive) -> None:
        """Embed some passages that were kept without a vector."""
        missing = select(Passage).where(Passage.archive_id == archive.id, Passage.unembedded)
        async with self._database.unit_of_work() as session:
            passages = list(await session.scalars(missing.limit(BATCH)))
        models = [archive.embedding, *filter(None, [archive.next_embedding])]
        made = [(model, await self._vectors(model, passages)) for model in models]
        async with self._database.unit_of_work() as session:
            now = await session.get(Archive, archive.id, with_for_update=True)
            if now is None or (now.embedding, now.next_embedding) != (
                archive.embedding,
                archive.next_embedding,
            ):
                return
            for model, vectors in made:
                await _insert(session, passages, model, vectors)
            done = update(Passage).where(Passage.id.in_([passage.id for passage in passages]))
            await session.execute(done.values(unembedded=False))

    async def _move_on(self, archive: Archive) -> None:
        """Embed the next passages with the model that the archive moves to, or let it take over."""
        assert archive.next_embedding is not None  # noqa: S101 — `_with_next` found it
        following = (
            select(Passage)
            .where(Passage.archive_id == archive.id, Passage.id > archive.embedded_up_to)
            .order_by(Passage.id)
            .limit(BATCH)
        )
        async with self._database.unit_of_work() as session:
            passages = list(await session.scalars(following))
        if not passages:
            await self._take_over(archive, await self._embedders.dimensions(archive.next_embedding))
            return
        vectors = await self._vectors(archive.next_embedding, passages)
        async with self._database.unit_of_work() as session:
            now = await session.get(Archive, archive.id, with_for_update=True)
            if now is None or now.next_embedding != archive.next_embedding:
                return
            await _insert(session, passages, archive.next_embedding, vectors)
            now.embedded_up_to = passages[-1].id

    async def _take_over(self, archive: Archive, dimensions: int) -> None:
        async with self._database.unit_of_work() as session:
            now = await session.get(Archive, archive.id, with_for_update=True)
            if now is None or now.next_embedding != archive.next_embedding:
                return
            now.embedding = archive.next_embedding or ""
            now.dimensions = dimensions
            now.next_embedding = None
            now.is_untidy = True
            now.embedded_up_to = ""
        await self.ensure_indexes()
        _log.info("an archive moved to %s", archive.next_embedding, extra={"id": archive.id})

    async def _vectors(self, model: str, passages: Sequence[Passage]) -> list[Vector]:
        return await self._embedders.get(model).embed([passage.text for passage in passages])


async def _insert(
    session: AsyncSession, passages: Sequence[Passage], model: str, vectors: Sequence[Vector]
) -> None:
    """Insert vectors that are missing, of those passages that are still there."""
    held = select(Passage.id).where(Passage.id.in_([passage.id for passage in passages]))
    alive = set(await session.scalars(held.with_for_update(key_share=True)))
    rows = [
        {
            "passage_id": passage.id, "model": model, "archive_id": passage.archive_id,
            "dimensions": len(vector), "embedding": vector, "tags": passage.tags,
            "created_at": passage.created_at,
        }
        for passage, vector in zip(passages, vectors, strict=True)
        if passage.id in alive
    ]  # fmt: skip
    if rows:
        await session.execute(insert(PassageVector).values(rows).on_conflict_do_nothing())


def _with_leavings() -> Select[Archive]:
    return select(Archive).where(Archive.is_untidy)


def _with_unembedded() -> Select[Archive]:
    return select(Archive).join(Passage, Passage.archive_id == Archive.id).where(Passage.unembedded)


def _with_next() -> Select[Archive]:
    return select(Archive).where(Archive.next_embedding.is_not(None))
