"""Recall: messages found by words and by meaning, joined by reciprocal rank.

Words: marks of stems (`db.marks`) in the index; messages with all words of the query before those
with some. Meaning: the vectors of the newest `NEAREST_OF` messages in question are compared, each
one. Of an agent with a longer history an approximate index is scanned until enough of what it finds
passes the restrictions; where that gives up, every vector that passes them is compared.

What the job has not indexed yet is searched by its words, after opening it. A query without a word
to look for (only `the` or `?`) is looked for as it stands, newest first.
"""
# ruff: noqa: S608 — statements are made of constants; values go apart

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec

from o_contracts import messages as contract
from o_platform.agents.message_index import INDEXED_TYPES, LONG
from o_platform.db import marks
from o_platform.db.conditions import Conditions
from o_platform.db.detached import Detached
from o_platform.db.engine import Ask
from o_platform.db.line import Statement, statement
from o_platform.db.models import Message
from o_platform.db.scan import contains
from o_platform.db.sealing import Vault
from o_platform.memory.embedders import CHANCE_SIMILARITY, Embedders, Vector
from o_platform.memory.ranking import fuse, pool_for
from o_platform.memory.search import (
    is_below,
    restore_planner,
    scans_if,
    vector_text,
)

NEAREST_OF: Final = LONG
"""Newest messages whose vectors are compared; older ones, unless it is the history of one agent
and in the approximate index, are found by their words."""
CANDIDATES: Final = 300
"""Nearest vectors that a scan of the approximate index keeps in view: those of `o/hash` lie further
apart than a model's."""
RANKED_WORDS: Final = 2_000
"""Newest messages with a word of the query that are ranked."""
NEWEST_OPENED: Final = 1_000
"""Newest messages without a place in the index that are opened to look for words."""
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
        return pool_for(self.limit)


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
    ask: Ask, vault: Vault, query: RecallQuery, model: str, vector: Vector | None
) -> list[Recalled]:
    """The messages that fit best, best first; the newest ones for a blank query.

    Args:
        ask: of a transaction, whose settings for the planner are changed.
        vault: opens the messages.
        query: what to find.
        model: handle of the embedding model that messages have.
        vector: the query as the model sees it (`query_vector`), if it is to count.
    """
    words = marks.Query(vault, query.text)
    if not words and query.mode != "vector":
        return [Recalled(row, 0.0) for row in await _literally(ask, vault, query)]
    rankings: list[list[str]] = []
    if vector is not None:
        rankings.append(await _nearest(ask, query, model, vector))
    if query.mode != "vector":
        rankings.append(await _worded(ask, query, words))
        rankings.append(await _not_indexed(ask, vault, query))
    best = fuse(rankings)[: query.limit]
    found = await ask(_BY_SEQ, [hit.id for hit in best]) if best else []
    rows = {row.seq: row for row in (_detached(vault, one) for one in found)}
    return [Recalled(rows[int(hit.id)], hit.score) for hit in best if int(hit.id) in rows]


def _restricted(where: Conditions, query: RecallQuery) -> Conditions:
    """Only messages, or their places in the index, that may be found."""
    where.where("r.type = ANY ({}::text[])", query.types)
    if query.agent_id is not None:
        where.where("r.agent_id = {}", query.agent_id)
    if query.conversation_id is not None:
        where.where("r.conversation_id = {}", query.conversation_id)
    if query.since is not None:
        where.where("r.created_at >= {}::timestamptz", query.since.isoformat())
    if query.until is not None:
        where.where("r.created_at < {}::timestamptz", query.until.isoformat())
    return where


async def _nearest(ask: Ask, query: RecallQuery, model: str, vector: Vector) -> list[str]:
    where = _restricted(Conditions(vector_text(vector)), query)
    where.where("r.model = {}", model)
    newest = ""
    if await _is_long(ask, query.agent_id):
        found = await _scanned(ask, where, query, len(vector))
        if len(found) >= query.pool:
            return _alike(found, model)
    else:
        newest = f"ORDER BY r.seq DESC LIMIT {NEAREST_OF}"
    compared = f"SELECT r.seq, r.embedding FROM message_index AS r WHERE {where} {newest}"
    nearest = (
        f"WITH compared AS MATERIALIZED ({compared}), "
        "near AS (SELECT seq, embedding <=> $1::halfvec AS distance FROM compared) "
        f"{_ORDERED.format(rows='near')} LIMIT {query.pool}"
    )
    return _alike(await ask(statement(nearest), *where.values), model)


async def _is_long(ask: Ask, agent_id: str | None) -> bool:
    """Whether the approximate index has this agent's vectors; the planner will scan it then."""
    return agent_id is not None and await ask(_IS_LONG, agent_id) == [True]


async def _scanned(
    ask: Ask, where: Conditions, query: RecallQuery, dimensions: int
) -> list[tuple[int, float | str]]:
    """The nearest by the approximate index; fewer than the pool if it gave up."""
    distance = f"r.embedding::halfvec({dimensions}) <=> $1::halfvec({dimensions})"
    candidates = (
        f"SELECT r.seq, {distance} AS distance FROM message_index AS r WHERE {where} "
        f"AND r.is_long AND vector_dims(r.embedding) = {dimensions} "
        f"ORDER BY {distance} LIMIT {query.pool}"
    )
    ordered = f"WITH candidates AS MATERIALIZED ({candidates}) {_ORDERED.format(rows='candidates')}"
    rows = await ask(statement(ordered), *where.values)
    await restore_planner(ask)
    return rows


def _alike(found: Sequence[tuple[int, float | str]], model: str) -> list[str]:
    """Those that are more alike than chance."""
    limit = 1.0 - CHANCE_SIMILARITY.get(model, -1.0)
    return [str(seq) for seq, apart in found if is_below(apart, limit)]


async def _worded(ask: Ask, query: RecallQuery, words: marks.Query) -> list[str]:
    best = await _ranked(ask, query, words.all_words)
    if len(best) < query.pool and words.any_word != words.all_words:
        best = list(dict.fromkeys([*best, *await _ranked(ask, query, words.any_word)]))
    return best[: query.pool]


async def _ranked(ask: Ask, query: RecallQuery, words: str) -> list[str]:
    where = _restricted(Conditions(words), query)
    matching = (
        f"SELECT r.seq, r.words FROM message_index AS r WHERE {where} AND r.words @@ $1::tsquery"
    )
    newest = f"SELECT * FROM matching ORDER BY seq DESC LIMIT {RANKED_WORDS}"
    ranked = (
        f"WITH matching AS MATERIALIZED ({matching}), newest AS ({newest}) "
        "SELECT to_json(seq::text)::text FROM newest "
        f"ORDER BY ts_rank_cd(words, $1::tsquery, 1) DESC, seq DESC LIMIT {query.pool}"
    )
    return await ask(statement(ranked), *where.values)


async def _not_indexed(ask: Ask, vault: Vault, query: RecallQuery) -> list[str]:
    """Messages after the last indexed one that have a word of the query, those with most first."""
    where = _restricted(Conditions(), query)
    of = "" if query.agent_id is None else f"WHERE agent_id = {where.place(query.agent_id)}"
    where.where(f"r.seq > coalesce((SELECT max(seq) FROM message_index {of}), 0)")
    stems = marks.stems(query.text)
    counted = [
        (len(stems & marks.stems(_text(row))), row.seq)
        for row in await _messages(ask, vault, where, NEWEST_OPENED)
    ]
    best = sorted(((count, seq) for count, seq in counted if count), reverse=True)
    return [str(seq) for _, seq in best[: query.pool]]


async def _literally(ask: Ask, vault: Vault, query: RecallQuery) -> list[Message]:
    has = contains(query.text.strip())
    found: list[Message] = []
    before: int | None = None
    while True:
        where = _restricted(Conditions(), query)
        if before is not None:
            where.where("r.seq < {}", before)
        rows = await _messages(ask, vault, where, READ_AT_ONCE)
        found += [row for row in rows if has(_text(row))]
        if len(found) >= query.limit or len(rows) < READ_AT_ONCE:
            return found[: query.limit]
        before = rows[-1].seq


async def _messages(ask: Ask, vault: Vault, where: Conditions, limit: int) -> list[Message]:
    """The newest ones."""
    text = (
        f"SELECT row_to_json(r)::text FROM messages AS r WHERE {where} "
        f"ORDER BY r.seq DESC LIMIT {limit}"
    )
    return [_detached(vault, row) for row in await ask(statement(text), *where.values)]


def _text(row: Message) -> str:
    return msgspec.convert(row.body, contract.Message).text


_IS_LONG: Final = Statement(
    f"SELECT to_json({scans_if('is_complete', CANDIDATES)})::text "
    "FROM long_histories WHERE agent_id = $1"
)
_BY_SEQ: Final = Statement(
    "SELECT row_to_json(r)::text FROM messages AS r WHERE r.seq = ANY ($1::bigint[])"
)
_ORDERED: Final = (
    "SELECT json_build_array(seq, distance)::text FROM {rows} ORDER BY distance, seq DESC"
)
_detached: Final = Detached(Message)
