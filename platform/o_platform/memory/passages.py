"""Passages: kept in an archive, listed, deleted. `search` finds them again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.db.engine import CHANNEL_EMBEDDINGS, announce
from o_platform.db.models import AgentArchive, Archive, Passage, PassageVector
from o_platform.db.scan import contains, scan
from o_platform.errors import BadInputError, NotFoundError, TooLargeError
from o_platform.memory import embeddings
from o_platform.memory.archives import archive_for_new
from o_platform.memory.embedders import HASH_MODEL, Vector

MAX_TEXT_CHARACTERS: Final = 100_000


@dataclass(frozen=True, slots=True)
class NewPassage:
    """A text to keep; `created_at` is now, and `id` a new one, unless given."""

    text: str
    tags: Sequence[str] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    id: str | None = None


async def insert_passage(
    session: AsyncSession,
    agent_id: str,
    text: str,
    tags: Sequence[str] = (),
    meta: Mapping[str, Any] | None = None,
) -> Passage:
    """Keep `text` for the agent, in the archive that its new passages go to.

    Asks no model: what `o/hash` does not embed is embedded by a job soon after.

    Raises:
        BadInputError: it is blank, or holds a NUL character.
        NotFoundError: there is no such agent; the transaction is spoiled.
        TooLargeError: it is longer than `MAX_TEXT_CHARACTERS`; split it.
    """
    wanted = NewPassage(text, tags, meta or {})
    check_text(text)
    archive = await archive_for_new(session, agent_id)
    vectors = [embeddings.embed(text)] if archive.embedding == HASH_MODEL else []
    (passage,) = await insert_passages(session, archive, [wanted], vectors)
    return passage


async def insert_passages(
    session: AsyncSession,
    archive: Archive,
    wanted: Sequence[NewPassage],
    vectors: Sequence[Vector],
) -> list[Passage]:
    """Keep texts in an archive.

    Args:
        session: an open unit of work.
        archive: where.
        wanted: what; checked (`check_text`).
        vectors: one for each, of the archive's present model; or none, to have a job make them.
    """
    now = datetime.now(UTC)
    passages = [
        Passage(
            id=new.id or new_id("passage"),
            archive_id=archive.id,
            text=new.text,
            tags=list(dict.fromkeys(new.tags)),
            meta=dict(new.meta),
            unembedded=not vectors or archive.next_embedding is not None,
            created_at=new.created_at or now,
        )
        for new in wanted
    ]
    session.add_all(passages)
    await session.flush()
    if vectors:
        session.add_all(
            vector_row(passage, archive.embedding, vector)
            for passage, vector in zip(passages, vectors, strict=True)
        )
        await session.flush()
    if not vectors or archive.next_embedding is not None:
        await announce(session, CHANNEL_EMBEDDINGS, archive.id)
    return passages


def vector_row(passage: Passage, model: str, vector: Vector) -> PassageVector:
    """The row of a passage's vector."""
    return PassageVector(
        passage_id=passage.id, model=model, archive_id=passage.archive_id,
        dimensions=len(vector), embedding=vector, tags=passage.tags,
        created_at=passage.created_at,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PassagePage:
    """Which passages to list: those in the order of the listing between `after` and `before`."""

    limit: int = 50
    after: str | None = None
    before: str | None = None
    search: str | None = None
    """Only passages that contain this text, ignoring case."""
    ascending: bool = True
    """Oldest first."""


async def list_passages(
    session: AsyncSession, archive_ids: Collection[str], page: PassagePage
) -> list[Passage]:
    """Passages of these archives, in the order in which they were kept.

    Raises:
        NotFoundError: `after` or `before` is not a passage of these archives.
    """
    if page.search:
        has = contains(page.search)
        whole = partial(list_passages, session, archive_ids)
        return await scan(whole, replace(page, search=None), lambda passage: has(passage.text))
    statement = select(Passage).where(Passage.archive_id.in_(archive_ids))
    for cursor_id, is_after in ((page.after, True), (page.before, False)):
        if cursor_id is not None:
            cursor = await fetch_passage(session, archive_ids, cursor_id)
            follows = _follows if is_after is page.ascending else _precedes
            statement = statement.where(follows(cursor))
    backwards = page.before is not None and page.after is None
    rising = page.ascending is not backwards
    keys = [key if rising else key.desc() for key in (Passage.created_at, Passage.id)]
    rows = list(await session.scalars(statement.order_by(*keys).limit(page.limit)))
    return rows[::-1] if backwards else rows


async def fetch_passage(
    session: AsyncSession, archive_ids: Collection[str], passage_id: str
) -> Passage:
    """A passage of one of these archives.

    Raises:
        NotFoundError: none of them has it.
    """
    passage = await session.get(Passage, passage_id)
    if passage is None or passage.archive_id not in archive_ids:
        raise _no_passage(passage_id)
    return passage


async def delete_passage(
    session: AsyncSession, archive_ids: Collection[str], passage_id: str
) -> None:
    """Forget a passage of one of these archives.

    Raises:
        NotFoundError: none of them has it.
    """
    gone = await session.scalar(
        delete(Passage)
        .where(Passage.id == passage_id, Passage.archive_id.in_(archive_ids))
        .returning(Passage.id)
    )
    if gone is None:
        raise _no_passage(passage_id)


async def count_passages(session: AsyncSession, agent_id: str) -> int:
    """How many passages are in the agent's archives."""
    held = select(AgentArchive.archive_id).where(AgentArchive.agent_id == agent_id)
    counted = select(func.count()).select_from(Passage).where(Passage.archive_id.in_(held))
    return await session.scalar(counted) or 0


def check_text(text: str) -> None:
    """Refuse a text that cannot be kept.

    Raises:
        BadInputError: it is blank, or holds a NUL character.
        TooLargeError: it is longer than `MAX_TEXT_CHARACTERS`; split it.
    """
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


def _no_passage(passage_id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no passage {passage_id!r} in these archives", passage_id=passage_id
    )
