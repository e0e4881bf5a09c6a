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
# ruff: noqa: S608 — statements are made of constants; values go apart

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db import marks
from o_platform.db.conditions import Conditions
from o_platform.db.detached import Detached
from o_platform.db.engine import Ask, within
from o_platform.db.line import Statement, statement
from o_platform.db.models import Passage
from o_platform.db.models.memory import LARGEST_INDEXED
from o_platform.db.sealed_columns import vault_of
from o_platform.db.sealing import Vault
from o_platform.memory import embeddings
from o_platform.memory.archives import archives_of
from o_platform.memory.embedders import CHANCE_SIMILARITY, HASH_MODEL, Embedders, Vector
from o_platform.memory.ranking import fuse, pool_for

EXACT_BELOW: Final = 5_000
"""Vectors up to which all are compared."""
CANDIDATES: Final = 200
"""Nearest vectors that a scan of the approximate index keeps in view (`hnsw.ef_search`)."""
SCAN_SETTINGS: Final = {
    "hnsw.iterative_scan": "relaxed_order",
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
        return pool_for(self.top_k)


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
    ids = [archive.id for archive in archives]
    hits = await search_archives(within(session), vault_of(session), ids, models, wanted)
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
    ask: Ask,
    vault: Vault,
    archive_ids: Sequence[str] | None,
    models: Sequence[Model],
    query: PassageQuery,
) -> list[Hit]:
    """The passages that fit best, best first; of all archives with `archive_ids` None.

    A blank query finds the newest ones, with score 0. Passages that share nothing with the query
    are not found, so fewer than `query.top_k` may come back. `ask` is of a transaction, whose
    settings for the planner are changed.
    """
    if archive_ids is not None and not archive_ids:
        return []
    if query.is_blank:
        return await _newest(ask, vault, archive_ids, query)
    rankings, is_large = [], False
    for model in models:
        large = await _is_large(ask, archive_ids, model)
        rankings.append(await _nearest(ask, archive_ids, model, query, large))
        is_large = is_large or large
    rankings.append(await _worded(ask, vault, archive_ids, query, is_large))
    best = fuse(rankings)[: query.top_k]
    rows = await ask(_BY_ID, [hit.id for hit in best]) if best else []
    found = {passage.id: passage for passage in (_detached(vault, row) for row in rows)}
    # What was deleted meanwhile is not found any more.
    return [Hit(found[hit.id], hit.score) for hit in best if hit.id in found]


async def _newest(
    ask: Ask, vault: Vault, archive_ids: Sequence[str] | None, query: PassageQuery
) -> list[Hit]:
    where = _within(Conditions(), archive_ids, query)
    newest = (
        f"SELECT {_PASSAGE} FROM passages AS r WHERE {where} "
        f"ORDER BY r.created_at DESC, r.id DESC LIMIT {where.place(query.top_k)}"
    )
    rows = await ask(statement(newest), *where.values)
    return [Hit(_detached(vault, row), 0.0) for row in rows]


def _within(
    where: Conditions, archive_ids: Sequence[str] | None, query: PassageQuery
) -> Conditions:
    """Only passages, or vectors of passages, that may be found."""
    if archive_ids is not None:
        where.where("r.archive_id = ANY ({}::text[])", archive_ids)
    if query.tags:
        has = "@>" if query.tag_match == "all" else "&&"
        where.where(f"r.tags {has} {{}}::text[]", [*query.tags])
    if query.since is not None:
        where.where("r.created_at >= {}::timestamptz", query.since.isoformat())
    if query.until is not None:
        where.where("r.created_at <= {}::timestamptz", query.until.isoformat())
    return where


async def _is_large(ask: Ask, archive_ids: Sequence[str] | None, model: Model) -> bool:
    """Whether there are more than `EXACT_BELOW` vectors; the planner is prepared for that then."""
    where = Conditions()
    where.where("r.model = {}", model.handle)
    if archive_ids is not None:
        where.where("r.archive_id = ANY ({}::text[])", archive_ids)
    some = f"SELECT FROM passage_vectors AS r WHERE {where} LIMIT {EXACT_BELOW + 1}"
    prepared = scans_if(f"count(*) > {EXACT_BELOW}", CANDIDATES)
    counted = statement(f"SELECT to_json({prepared})::text FROM ({some}) AS counted")
    return await ask(counted, *where.values) == [True]


async def _nearest(
    ask: Ask,
    archive_ids: Sequence[str] | None,
    model: Model,
    query: PassageQuery,
    is_large: bool,
) -> list[str]:
    where = _within(Conditions(vector_text(model.query)), archive_ids, query)
    where.where("r.model = {}", model.handle)
    if is_large and len(model.query) <= LARGEST_INDEXED:
        found = await _scanned(ask, where, model, query.pool)
        if len(found) >= query.pool:
            return found
    return await _compared(ask, where, model, query.pool)


async def _scanned(ask: Ask, where: Conditions, model: Model, pool: int) -> list[str]:
    """The nearest by the approximate index; fewer than `pool` if it gave up."""
    size = len(model.query)
    candidates = (
        "SELECT r.passage_id, r.created_at, r.embedding <=> $1::vector AS distance "
        f"FROM passage_vectors AS r WHERE {where} AND r.dimensions = {size} "
        f"ORDER BY r.embedding::halfvec({size}) <=> $1::vector::halfvec({size}) LIMIT {pool}"
    )
    ordered = f"WITH candidates AS MATERIALIZED ({candidates}) {_ORDERED.format(rows='candidates')}"
    rows = await ask(statement(ordered), *where.values)
    return _alike(rows, model) if len(rows) >= pool else []


async def _compared(ask: Ask, where: Conditions, model: Model, pool: int) -> list[str]:
    """The nearest of all. Materialised, so that the planner cannot take an index over others."""
    mine = f"SELECT r.passage_id, r.created_at, r.embedding FROM passage_vectors AS r WHERE {where}"
    compared = "SELECT passage_id, created_at, embedding <=> $1::vector AS distance FROM mine"
    nearest = (
        f"WITH mine AS MATERIALIZED ({mine}), compared AS ({compared}) "
        f"{_ORDERED.format(rows='compared')} LIMIT {pool}"
    )
    return _alike(await ask(statement(nearest), *where.values), model)


def _alike(found: Sequence[tuple[str, float | str]], model: Model) -> list[str]:
    """Those that are more alike than chance."""
    limit = 1.0 - CHANCE_SIMILARITY.get(model.handle, -1.0)
    return [passage_id for passage_id, distance in found if is_below(distance, limit)]


def is_below(distance: float | str, limit: float) -> bool:
    """Whether a distance is below the limit; that to a vector of zeros is `NaN`, no number."""
    return not isinstance(distance, str) and distance < limit


async def _worded(
    ask: Ask,
    vault: Vault,
    archive_ids: Sequence[str] | None,
    query: PassageQuery,
    is_large: bool,
) -> list[str]:
    wanted = marks.Query(vault, query.text)
    if not wanted:
        return []
    if not is_large:
        return await _ranked(ask, archive_ids, query, wanted.any_word, None)
    best = await _best_worded(ask, archive_ids, query, wanted)
    if len(best) < query.top_k:
        # The part that was looked at may be of other archives, or without the tags.
        await ask(_ALL_WORDED)
        best = await _best_worded(ask, archive_ids, query, wanted)
    return best[: query.pool]


async def _best_worded(
    ask: Ask, archive_ids: Sequence[str] | None, query: PassageQuery, wanted: marks.Query
) -> list[str]:
    """Those that have all words, then those that have some, as far as they are needed."""
    best: dict[str, None] = {}
    for words in dict.fromkeys((wanted.all_words, wanted.two_words, wanted.any_word)):
        if words and len(best) < query.top_k:
            best |= dict.fromkeys(await _ranked(ask, archive_ids, query, words, RANKED_WORDS))
    return [*best]


async def _ranked(
    ask: Ask,
    archive_ids: Sequence[str] | None,
    query: PassageQuery,
    words: str,
    looked_at: int | None,
) -> list[str]:
    """The best passages that have the words, of at most `looked_at`."""
    where = _within(Conditions(words), archive_ids, query)
    found = (
        f"SELECT r.id, r.words, r.created_at FROM passages AS r "
        f"WHERE {where} AND r.words @@ $1::tsquery"
    )
    found += f" LIMIT {looked_at}" if looked_at else ""
    ranked = (
        f"WITH found AS MATERIALIZED ({found}) SELECT to_json(id)::text FROM found "
        f"ORDER BY ts_rank_cd(words, $1::tsquery, 1) DESC, created_at DESC, id LIMIT {query.pool}"
    )
    return await ask(statement(ranked), *where.values)


def vector_text(vector: Vector) -> str:
    """A vector as PostgreSQL reads it."""
    return f"[{','.join(map(repr, vector))}]"


def scans_if(condition: str, candidates: int) -> str:
    """The condition, as SQL that also has the planner scan approximate indexes where it is true.

    That lasts until the transaction ends. `candidates` is what a scan keeps in view: the more, the
    more of the nearest it finds, and the longer it takes.
    """
    values = SCAN_SETTINGS | {"hnsw.ef_search": str(candidates)}
    each = (f"set_config('{name}', '{value}', true)" for name, value in values.items())
    return f"CASE WHEN {condition} THEN concat({', '.join(each)}) <> '' ELSE false END"


async def restore_planner(ask: Ask) -> None:
    """Let the planner choose as usual."""
    await ask(_RESTORE)


_ALL_WORDED: Final = Statement(
    "SELECT to_json(set_config('gin_fuzzy_search_limit', '0', true))::text"
)
_RESTORE: Final = Statement("SELECT to_json(set_config('enable_sort', 'on', true))::text")
_ORDERED: Final = (
    "SELECT json_build_array(passage_id, distance)::text FROM {rows} "
    "ORDER BY distance, created_at DESC, passage_id"
)
_PASSAGE: Final = (
    "json_build_object('id', r.id, 'archive_id', r.archive_id, 'text', r.text, 'tags', r.tags, "
    "'metadata', r.metadata, 'unembedded', r.unembedded, 'created_at', r.created_at)::text"
)
_BY_ID: Final = Statement(f"SELECT {_PASSAGE} FROM passages AS r WHERE r.id = ANY ($1::text[])")
_detached: Final = Detached(Passage)
