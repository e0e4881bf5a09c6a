"""Passages of an agent's archival memory: kept, listed, deleted, and searched.

A search joins two rankings by reciprocal rank: nearness of embeddings (pgvector, cosine) and
PostgreSQL's full text (English stems, any word of the query, ranked by cover density). Both look
at all passages of the one agent and are exact: an index over everybody's vectors would first find
other agents' passages and throw them away. Embeddings less alike than chance do not count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, Text, and_, cast, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, REGCONFIG, TSQUERY, array
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.db.models import Passage
from o_platform.errors import BadInputError, NotFoundError, TooLargeError
from o_platform.memory.embeddings import embed
from o_platform.memory.ranking import fuse

MAX_TEXT_CHARACTERS: Final = 100_000
CHANCE_SIMILARITY: Final = 0.15
"""Cosine that unrelated texts reach: about 2.4 standard deviations, 1 / sqrt(256) each."""
SMALLEST_POOL: Final = 50
"""How many of each ranking are joined, at least; else four times what is asked for."""
TagMatch = Literal["any", "all"]


async def insert_passage(
    session: AsyncSession,
    agent_id: str,
    text: str,
    tags: Sequence[str] = (),
    meta: Mapping[str, Any] | None = None,
) -> Passage:
    """Keep `text`.

    Raises:
        BadInputError: it is blank, or holds a NUL character.
        NotFoundError: there is no such agent; the transaction is spoiled.
        TooLargeError: it is longer than `MAX_TEXT_CHARACTERS`; split it.
    """
    _check_text(text)
    passage = Passage(
        id=new_id("passage"),
        agent_id=agent_id,
        text=text,
        embedding=embed(text),
        tags=list(dict.fromkeys(tags)),
        meta=dict(meta or {}),
        created_at=datetime.now(UTC),
    )
    session.add(passage)
    try:
        await session.flush()
    except IntegrityError as error:
        raise NotFoundError(f"there is no agent {agent_id!r}", agent_id=agent_id) from error
    return passage


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
    """The passages that fit `query` best, best first, each with its score in [0, 1].

    A blank query finds the newest ones, with score 0. `tags` leaves only passages with any (or
    all) of them; `since` and `until` bound the time they were kept, both included. Passages that
    share nothing with the query are not found, so fewer than `top_k` may come back.
    """
    mine = _filter(agent_id, tags, tag_match, since, until)
    if not query.strip():
        newest = select(Passage).where(mine).order_by(Passage.created_at.desc(), Passage.id.desc())
        return [(passage, 0.0) for passage in await session.scalars(newest.limit(top_k))]
    query = query.replace("\x00", " ")
    pool = max(SMALLEST_POOL, 4 * top_k)
    near = await session.scalars(_nearest(mine, query, pool))
    worded = await session.scalars(_worded(mine, query, pool))
    best = fuse([list(near), list(worded)])[:top_k]
    rows = await session.scalars(select(Passage).where(Passage.id.in_([hit.id for hit in best])))
    found = {passage.id: passage for passage in rows}
    return [(found[hit.id], hit.score) for hit in best]


async def list_passages(
    session: AsyncSession,
    agent_id: str,
    *,
    limit: int = 50,
    after: str | None = None,
    before: str | None = None,
    search: str | None = None,
    ascending: bool = True,
) -> list[Passage]:
    """Passages in the order they were kept (newest first unless `ascending`).

    Args:
        session: an open unit of work.
        agent_id: whose.
        limit: how many at most.
        after: id of a passage; only those that follow it in this order.
        before: id of a passage; only those that precede it in this order.
        search: only passages that contain this text, ignoring case.
        ascending: oldest first.

    Raises:
        NotFoundError: `after` or `before` is not a passage of this agent.
    """
    statement = select(Passage).where(Passage.agent_id == agent_id)
    if search:
        statement = statement.where(Passage.text.icontains(search, autoescape=True))
    if after is not None:
        cursor = await _fetch(session, agent_id, after)
        statement = statement.where(_follows(cursor) if ascending else _precedes(cursor))
    if before is not None:
        cursor = await _fetch(session, agent_id, before)
        statement = statement.where(_precedes(cursor) if ascending else _follows(cursor))
    order = (Passage.created_at, Passage.id)
    keys = order if ascending else tuple(column.desc() for column in order)
    return list(await session.scalars(statement.order_by(*keys).limit(limit)))


async def delete_passage(session: AsyncSession, agent_id: str, passage_id: str) -> None:
    """Forget a passage.

    Raises:
        NotFoundError: the agent has no such passage.
    """
    gone = await session.scalar(
        delete(Passage)
        .where(Passage.id == passage_id, Passage.agent_id == agent_id)
        .returning(Passage.id)
    )
    if gone is None:
        raise _no_passage(agent_id, passage_id)


async def count_passages(session: AsyncSession, agent_id: str) -> int:
    """How many passages an agent has."""
    counted = select(func.count()).select_from(Passage).where(Passage.agent_id == agent_id)
    return await session.scalar(counted) or 0


def _check_text(text: str) -> None:
    if not text.strip():
        raise BadInputError("a passage needs text; this one is blank", field="text")
    if "\x00" in text:
        raise BadInputError("the text of a passage holds a NUL character; remove it", field="text")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TooLargeError(
            f"a passage of {len(text)} characters is over the limit of {MAX_TEXT_CHARACTERS}; "
            "split it",
            characters=len(text),
            limit=MAX_TEXT_CHARACTERS,
        )


def _filter(
    agent_id: str,
    tags: Collection[str],
    tag_match: TagMatch,
    since: datetime | None,
    until: datetime | None,
) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [Passage.agent_id == agent_id]
    if tags:
        wanted = cast(array(list(tags)), ARRAY(Text))
        has = Passage.tags.contains(wanted) if tag_match == "all" else Passage.tags.overlap(wanted)
        conditions.append(has)
    if since is not None:
        conditions.append(Passage.created_at >= since)
    if until is not None:
        conditions.append(Passage.created_at <= until)
    return and_(*conditions)


def _nearest(mine: ColumnElement[bool], query: str, pool: int) -> Select[str]:
    # Materialised, so that the planner cannot take the index over everybody's vectors.
    candidates = (
        select(Passage.id, Passage.created_at, Passage.embedding)
        .where(mine)
        .cte("mine")
        .prefix_with("MATERIALIZED")
    )
    distance = candidates.c.embedding.cosine_distance(embed(query))
    return (
        select(candidates.c.id)
        .where(distance < 1.0 - CHANCE_SIMILARITY)
        .order_by(distance, candidates.c.created_at.desc(), candidates.c.id)
        .limit(pool)
    )


def _worded(mine: ColumnElement[bool], query: str, pool: int) -> Select[str]:
    english = cast(literal("english"), REGCONFIG)
    all_words = cast(func.plainto_tsquery(english, query), Text)
    any_word = cast(func.replace(all_words, " & ", " | "), TSQUERY)
    rank = func.ts_rank_cd(Passage.words, any_word, 1)
    return (
        select(Passage.id)
        .where(mine, Passage.words.op("@@")(any_word))
        .order_by(rank.desc(), Passage.created_at.desc(), Passage.id)
        .limit(pool)
    )


async def _fetch(session: AsyncSession, agent_id: str, passage_id: str) -> Passage:
    passage = await session.get(Passage, passage_id)
    if passage is None or passage.agent_id != agent_id:
        raise _no_passage(agent_id, passage_id)
    return passage


def _follows(cursor: Passage) -> ColumnElement[bool]:
    return or_(
        Passage.created_at > cursor.created_at,
        and_(Passage.created_at == cursor.created_at, Passage.id > cursor.id),
    )


def _precedes(cursor: Passage) -> ColumnElement[bool]:
    return or_(
        Passage.created_at < cursor.created_at,
        and_(Passage.created_at == cursor.created_at, Passage.id < cursor.id),
    )


def _no_passage(agent_id: str, passage_id: str) -> NotFoundError:
    return NotFoundError(
        f"agent {agent_id!r} has no passage {passage_id!r}",
        agent_id=agent_id,
        passage_id=passage_id,
    )
