"""Search of archives: nearness of vectors and words of the text, joined by reciprocal rank.

Vectors: archives of different embedding models are ranked apart. Up to `EXACT_BELOW` vectors every
one is compared. Above, the approximate index of their dimension is scanned, and goes on until
enough of what it finds passes the filters (pgvector's iterative scan); where even that finds too
few, because the filters leave little of what is near, every vector that passes them is compared.

Words: PostgreSQL's full text over keyed marks of English stems (`db.marks`), passages with all
words of the query before those with some, of both those that have them close together first. In
large archives the words of a query are in very many passages, and each must be fetched to be
ranked; so passages with only some words are looked for while there are fewer than asked for, first
those with two, and no more than `RANKED_WORDS` of each kind are ranked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Text,
    and_,
    any_,
    cast,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db import marks
from o_platform.db.models import Passage, PassageVector
from o_platform.db.models.memory import LARGEST_HALFVEC, indexed
from o_platform.db.sealed_columns import vault_of
from o_platform.memory import embeddings
from o_platform.memory.archives import archives_of
from o_platform.memory.embedders import CHANCE_SIMILARITY, HASH_MODEL, Embedders, Vector
from o_platform.memory.ranking import fuse

SMALLEST_POOL: Final = 50
"""How many of each ranking are joined, at least; else four times what is asked for."""
EXACT_BELOW: Final = 5_000
"""Vectors up to which all are compared."""
SCAN_SETTINGS: Final = {
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.ef_search": "200",
    "hnsw.max_scan_tuples": "40000",
    "gin_fuzzy_search_limit": "5000",
    "enable_sort": "off",
    "jit": "off",
}
"""For searches of large archives. Without sorting, the planner is left only the approximate index
of vectors; of a word in very many passages a random part may be looked at."""
RANKED_WORDS: Final = 1_000
"""Passages with all, two or any of the words that are ranked in large archives."""
TagMatch = Literal["any", "all"]


@dataclass(frozen=True, slots=True)
class PassageQuery:
    """What to find. `tags` leaves passages with any (or all) of them, dates are both included."""

    text: str
    tags: Collection[str] = ()
    top_k: int = 10
    tag_match: TagMatch = "any"
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it asks for the newest passages."""
        return not self.text.strip()

    @property
    def pool(self) -> int:
        """How many of each ranking to join."""
        return max(SMALLEST_POOL, 4 * self.top_k)


class Hit(NamedTuple):
    """A passage found, and how well it fits, in [0, 1]: 1 is first place in every ranking."""

    passage: Passage
    score: float


class Model(NamedTuple):
    """An embedding model in force for some archives, and the query as it sees it."""

    handle: str
    query: Vector


async def search_passages(
    session: AsyncSession,
    agent_id: str,
    query: str,
    tags: Collection[str] = (),
    top_k: int = 10,
    *,
    tag_match: TagMatch = "any",
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[tuple[Passage, float]]:
    """The passages of the agent that fit `query` best, best first, each with its score in [0, 1].

    Asks no model: of archives with another one than `o/hash`, the words alone are searched.
    """
    archives = await archives_of(session, agent_id)
    wanted = PassageQuery(query, tags, top_k, tag_match, since, until)
    models = [Model(HASH_MODEL, embeddings.embed(query))]
    hits = await search_archives(session, [a.id for a in archives], models, wanted)
    return [(hit.passage, hit.score) for hit in hits]


async def query_models(
    embedders: Embedders, handles: Iterable[str], query: PassageQuery
) -> list[Model]:
    """The query as each of these models sees it; call it outside of a transaction.

    Raises:
        OError: a model cannot be reached.
    """
    if query.is_blank:
        return []
    models = []
    for handle in dict.fromkeys(handles):
        (vector,) = await embedders.get(handle).embed([query.text])
        models.append(Model(handle, vector))
    return models


async def search_archives(
    session: AsyncSession,
    archive_ids: Sequence[str] | None,
    models: Sequence[Model],
    query: PassageQuery,
) -> list[Hit]:
    """The passages that fit best, best first; of all archives with `archive_ids` None.

    A blank query finds the newest ones, with score 0. Passages that share nothing with the query
    are not found, so fewer than `query.top_k` may come back.
    """
    if archive_ids is not None and not archive_ids:
        return []
    if query.is_blank:
        return await _newest(session, archive_ids, query)
    rankings, is_large = [], False
    for model in models:
        large = await _is_large(session, archive_ids, model)
        if large and not is_large:
            await scan_approximately(session)
        rankings.append(await _nearest(session, archive_ids, model, query, large))
        is_large = is_large or large
    rankings.append(await _worded(session, archive_ids, query, is_large))
    best = fuse(rankings)[: query.top_k]
    rows = await session.scalars(select(Passage).where(Passage.id.in_([hit.id for hit in best])))
    found = {passage.id: passage for passage in rows}
    return [Hit(found[hit.id], hit.score) for hit in best]


async def _newest(
    session: AsyncSession, archive_ids: Sequence[str] | None, query: PassageQuery
) -> list[Hit]:
    newest = select(Passage).where(_within(Passage, archive_ids, query))
    newest = newest.order_by(Passage.created_at.desc(), Passage.id.desc()).limit(query.top_k)
    return [Hit(passage, 0.0) for passage in await session.scalars(newest)]


def _within(
    table: type[Passage] | type[PassageVector],
    archive_ids: Sequence[str] | None,
    query: PassageQuery,
) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [true()]
    if archive_ids is not None:
        conditions.append(table.archive_id == any_(_texts(archive_ids)))
    if query.tags:
        has = table.tags.contains if query.tag_match == "all" else table.tags.overlap
        conditions.append(has(_texts(query.tags)))
    if query.since is not None:
        conditions.append(table.created_at >= query.since)
    if query.until is not None:
        conditions.append(table.created_at <= query.until)
    return and_(*conditions)


def _texts(values: Collection[str]) -> ColumnElement[Any]:
    return cast(list(values), ARRAY(Text))


async def _is_large(session: AsyncSession, archive_ids: Sequence[str] | None, model: Model) -> bool:
    some = select(literal(1)).where(PassageVector.model == model.handle)
    if archive_ids is not None:
        some = some.where(PassageVector.archive_id == any_(_texts(archive_ids)))
    counted = select(func.count()).select_from(some.limit(EXACT_BELOW + 1).subquery())
    return (await session.scalar(counted) or 0) > EXACT_BELOW


async def _nearest(
    session: AsyncSession,
    archive_ids: Sequence[str] | None,
    model: Model,
    query: PassageQuery,
    is_large: bool,
) -> list[str]:
    where = and_(_within(PassageVector, archive_ids, query), PassageVector.model == model.handle)
    if is_large and len(model.query) <= LARGEST_HALFVEC:
        found = await _scanned(session, where, model, query.pool)
        if len(found) >= query.pool:
            return found
    return await _compared(session, where, model, query.pool)


async def _scanned(
    session: AsyncSession, where: ColumnElement[bool], model: Model, pool: int
) -> list[str]:
    """The nearest by the approximate index; fewer than `pool` if it gave up."""
    dimensions = len(model.query)
    distance = indexed(dimensions).cosine_distance(model.query)
    of_index = literal_column(str(dimensions)) == PassageVector.dimensions
    candidates = (
        select(PassageVector.passage_id, PassageVector.created_at, distance.label("distance"))
        .where(where, of_index)
        .order_by(distance)
        .limit(pool)
        .cte("candidates")
        .prefix_with("MATERIALIZED")
    )
    rows = await session.execute(_ordered(candidates, candidates.c.distance))
    found = [(passage_id, distance) for passage_id, distance in rows]
    return _alike(found, model) if len(found) >= pool else []


async def _compared(
    session: AsyncSession, where: ColumnElement[bool], model: Model, pool: int
) -> list[str]:
    """The nearest of all. Materialised, so that the planner cannot take an index over others."""
    columns = (PassageVector.passage_id, PassageVector.created_at, PassageVector.embedding)
    mine = select(*columns).where(where).cte("mine").prefix_with("MATERIALIZED")
    distance = mine.c.embedding.cosine_distance(model.query)
    rows = await session.execute(_ordered(mine, distance).limit(pool))
    return _alike([(passage_id, distance) for passage_id, distance in rows], model)


def _ordered(rows: CTE, distance: ColumnElement[float]) -> Select[str, float]:
    ordered = select(rows.c.passage_id, distance)
    return ordered.order_by(distance, rows.c.created_at.desc(), rows.c.passage_id)


def _alike(found: Sequence[tuple[str, float]], model: Model) -> list[str]:
    """Those that are more alike than chance."""
    limit = 1.0 - CHANCE_SIMILARITY.get(model.handle, -1.0)
    return [passage_id for passage_id, distance in found if distance < limit]


async def _worded(
    session: AsyncSession, archive_ids: Sequence[str] | None, query: PassageQuery, is_large: bool
) -> list[str]:
    wanted = marks.Query(vault_of(session), query.text)
    if not wanted:
        return []
    where = _within(Passage, archive_ids, query)
    if not is_large:
        matching = select(Passage).where(where)
        return await _ranked(session, matching, wanted.any_word, query.pool)
    best: list[str] = []
    for words in dict.fromkeys((wanted.all_words, wanted.two_words, wanted.any_word)):
        if words and len(best) < query.top_k:
            matching = select(Passage).where(where).limit(RANKED_WORDS)
            best += await _ranked(session, matching, words, query.pool)
    return list(dict.fromkeys(best))[: query.pool]


async def _ranked(
    session: AsyncSession, matching: Select[Passage], words: str, pool: int
) -> list[str]:
    """The best of the `matching` passages that have the words."""
    wanted = cast(literal(words), TSQUERY)
    columns = (Passage.id, Passage.words, Passage.created_at)
    having = matching.with_only_columns(*columns).where(Passage.words.op("@@")(wanted))
    found = having.cte("found").prefix_with("MATERIALIZED")
    rank = func.ts_rank_cd(found.c.words, wanted, 1)
    ordered = select(found.c.id).order_by(rank.desc(), found.c.created_at.desc(), found.c.id)
    return list(await session.scalars(ordered.limit(pool)))


async def scan_approximately(session: AsyncSession) -> None:
    """Have the planner scan approximate indexes from now on, until the transaction ends."""
    await session.execute(_SET_SCAN)


async def restore_planner(session: AsyncSession) -> None:
    """Let the planner choose as usual."""
    await session.execute(_RESTORE)


def _settings(values: Mapping[str, str]) -> Select[Any]:
    """Sets these until the end of the transaction."""
    return select(*(func.set_config(name, value, True) for name, value in values.items()))


_SET_SCAN = _settings(SCAN_SETTINGS)
_RESTORE = _settings({"enable_sort": "on"})
