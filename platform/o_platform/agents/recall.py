"""Recall: messages found by words and by meaning, joined by reciprocal rank.

Words: marks of stems (`db.marks`) in the index; messages with all words of the query before those
with some. Meaning: the vectors of the newest `NEAREST_OF` messages in question are compared, each
one. Of an agent with a longer history an approximate index is scanned until enough of what it finds
passes the restrictions; where that gives up, every vector that passes them is compared.

What the job has not indexed yet is searched by its words, after opening it. A query without a word
to look for (only `the` or `?`) is looked for as it stands, newest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, cast, func, literal, select
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts import messages as contract
from o_platform.agents.message_index import INDEXED_TYPES, LONG
from o_platform.db import marks
from o_platform.db.models import IndexedMessage, LongHistory, Message
from o_platform.db.models.message_index import approximate, in_approximate_index
from o_platform.db.scan import contains
from o_platform.db.sealed_columns import vault_of
from o_platform.memory.embedders import CHANCE_SIMILARITY, Embedders, Vector
from o_platform.memory.ranking import fuse
from o_platform.memory.search import restore_planner, scan_approximately

NEAREST_OF: Final = LONG
"""Newest messages whose vectors are compared; older ones, unless it is the history of one agent
and in the approximate index, are found by their words."""
RANKED_WORDS: Final = 2_000
"""Newest messages with a word of the query that are ranked."""
NEWEST_OPENED: Final = 1_000
"""Newest messages without a place in the index that are opened to look for words."""
SMALLEST_POOL: Final = 50
READ_AT_ONCE: Final = 500
Mode = Literal["vector", "fts", "hybrid"]


@dataclass(frozen=True, slots=True)
class RecallQuery:
    """What to find; what is absent does not restrict. `since` is included, `until` is not."""

    text: str
    limit: int = 10
    agent_id: str | None = None
    conversation_id: str | None = None
    types: Sequence[str] = INDEXED_TYPES
    since: datetime | None = None
    until: datetime | None = None
    mode: Mode = "hybrid"

    @property
    def pool(self) -> int:
        """How many of each ranking are joined."""
        return max(SMALLEST_POOL, 4 * self.limit)


class Recalled(NamedTuple):
    """A message found, and how well it fits, in [0, 1]; 0 without a ranking."""

    row: Message
    score: float


async def query_vector(embedders: Embedders, model: str, query: RecallQuery) -> Vector | None:
    """The query as the model of messages sees it; call it outside of a transaction.

    Raises:
        OError: the model cannot be reached.
    """
    if query.mode == "fts" or not query.text.strip():
        return None
    (vector,) = await embedders.get(model).embed([query.text])
    return vector


async def recall(
    session: AsyncSession, query: RecallQuery, model: str, vector: Vector | None
) -> list[Recalled]:
    """The messages that fit best, best first; the newest ones for a blank query.

    Args:
        session: an open unit of work.
        query: what to find.
        model: handle of the embedding model that messages have.
        vector: the query as the model sees it (`query_vector`), if it is to count.
    """
    words = marks.Query(vault_of(session), query.text)
    if not words and query.mode != "vector":
        return [Recalled(row, 0.0) for row in await _literally(session, query)]
    rankings: list[list[str]] = []
    if vector is not None:
        rankings.append(await _nearest(session, query, model, vector))
    if query.mode != "vector":
        rankings.append(await _worded(session, query, words))
        rankings.append(await _not_indexed(session, query))
    best = fuse(rankings)[: query.limit]
    wanted = select(Message).where(Message.seq.in_([int(hit.id) for hit in best]))
    rows = {row.seq: row for row in await session.scalars(wanted)}
    found = [Recalled(rows[int(hit.id)], hit.score) for hit in best if int(hit.id) in rows]
    return found


def _restricted(table: type[Message] | type[IndexedMessage], query: RecallQuery) -> Any:
    conditions: list[ColumnElement[bool]] = [table.type.in_(query.types)]
    for column, value in (
        (table.agent_id, query.agent_id),
        (table.conversation_id, query.conversation_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if query.since is not None:
        conditions.append(table.created_at >= query.since)
    if query.until is not None:
        conditions.append(table.created_at < query.until)
    return conditions


async def _nearest(
    session: AsyncSession, query: RecallQuery, model: str, vector: Vector
) -> list[str]:
    where = [*_restricted(IndexedMessage, query), IndexedMessage.model == model]
    compared = select(IndexedMessage.seq, IndexedMessage.embedding).where(*where)
    if await _is_long(session, query.agent_id):
        found = await _scanned(session, query, model, vector)
        if len(found) >= query.pool:
            return _alike(found, model)
    else:
        compared = compared.order_by(IndexedMessage.seq.desc()).limit(NEAREST_OF)
    those = compared.cte("compared").prefix_with("MATERIALIZED")
    distance = those.c.embedding.cosine_distance(vector)
    ordered = select(those.c.seq, distance).order_by(distance, those.c.seq.desc())
    rows = await session.execute(ordered.limit(query.pool))
    return _alike([(seq, apart) for seq, apart in rows], model)


async def _is_long(session: AsyncSession, agent_id: str | None) -> bool:
    """Whether the vectors of this agent's history are in the approximate index."""
    if agent_id is None:
        return False
    history = select(LongHistory.is_complete).where(LongHistory.agent_id == agent_id)
    return bool(await session.scalar(history))


async def _scanned(
    session: AsyncSession, query: RecallQuery, model: str, vector: Vector
) -> list[tuple[int, float]]:
    """The nearest by the approximate index; fewer than the pool if it gave up."""
    distance = approximate(len(vector)).cosine_distance(vector)
    candidates = (
        select(IndexedMessage.seq, distance.label("distance"))
        .where(
            *_restricted(IndexedMessage, query),
            IndexedMessage.model == model,
            in_approximate_index(len(vector)),
        )
        .order_by(distance)
        .limit(query.pool)
        .cte("candidates")
        .prefix_with("MATERIALIZED")
    )
    ordered = select(candidates.c.seq, candidates.c.distance)
    ordered = ordered.order_by(candidates.c.distance, candidates.c.seq.desc())
    await scan_approximately(session)
    rows = await session.execute(ordered)
    await restore_planner(session)
    return [(seq, apart) for seq, apart in rows]


def _alike(found: Sequence[tuple[int, float]], model: str) -> list[str]:
    """Those that are more alike than chance."""
    limit = 1.0 - CHANCE_SIMILARITY.get(model, -1.0)
    return [str(seq) for seq, apart in found if apart < limit]


async def _worded(session: AsyncSession, query: RecallQuery, words: marks.Query) -> list[str]:
    best = await _ranked(session, query, words.all_words)
    if len(best) < query.pool and words.any_word != words.all_words:
        best = list(dict.fromkeys([*best, *await _ranked(session, query, words.any_word)]))
    return best[: query.pool]


async def _ranked(session: AsyncSession, query: RecallQuery, words: str) -> list[str]:
    wanted = cast(literal(words), TSQUERY)
    matching = (
        select(IndexedMessage.seq, IndexedMessage.words)
        .where(*_restricted(IndexedMessage, query), IndexedMessage.words.op("@@")(wanted))
        .cte("matching")
        .prefix_with("MATERIALIZED")
    )
    newest = select(matching).order_by(matching.c.seq.desc()).limit(RANKED_WORDS).subquery()
    rank = func.ts_rank_cd(newest.c.words, wanted, 1)
    ordered = select(newest.c.seq).order_by(rank.desc(), newest.c.seq.desc()).limit(query.pool)
    return [str(seq) for seq in await session.scalars(ordered)]


async def _not_indexed(session: AsyncSession, query: RecallQuery) -> list[str]:
    """Messages after the last indexed one that have a word of the query, those with most first."""
    indexed = select(func.max(IndexedMessage.seq))
    if query.agent_id is not None:
        indexed = indexed.where(IndexedMessage.agent_id == query.agent_id)
    after = await session.scalar(indexed) or 0
    rest = (
        select(Message)
        .where(*_restricted(Message, query), Message.seq > after)
        .order_by(Message.seq.desc())
        .limit(NEWEST_OPENED)
    )
    stems = marks.stems(query.text)
    counted = [
        (len(stems & marks.stems(_text(row))), row.seq) for row in await session.scalars(rest)
    ]
    best = sorted(((count, seq) for count, seq in counted if count), reverse=True)
    return [str(seq) for _, seq in best[: query.pool]]


async def _literally(session: AsyncSession, query: RecallQuery) -> list[Message]:
    has = contains(query.text.strip())
    found: list[Message] = []
    before: int | None = None
    while True:
        rows = list(await session.scalars(_page(query, before)))
        found += [row for row in rows if has(_text(row))]
        if len(found) >= query.limit or len(rows) < READ_AT_ONCE:
            return found[: query.limit]
        before = rows[-1].seq


def _page(query: RecallQuery, before: int | None) -> Select[Message]:
    wanted = select(Message).where(*_restricted(Message, query))
    if before is not None:
        wanted = wanted.where(Message.seq < before)
    return wanted.order_by(Message.seq.desc()).limit(READ_AT_ONCE)


def _text(row: Message) -> str:
    return msgspec.convert(row.body, contract.Message).text
