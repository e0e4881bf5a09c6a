"""Exact paging by key.

A page starts right after (or before) the row that a cursor names, *in the order of the listing*;
the position is the row's sort key, never an offset, so rows that arrive between two pages are
neither repeated nor skipped. The last key must be unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from o_platform.errors import NotFoundError

T = TypeVar("T")


class HasId(Protocol):
    """A row that cursors can name."""

    id: Any


R = TypeVar("R", bound=HasId)
Key = ColumnElement[Any] | InstrumentedAttribute[Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a listing: at most `limit` rows (>= 1) between the ids `after` and `before`."""

    limit: int = 50
    before: str | None = None
    after: str | None = None
    descending: bool = True


async def fetch_page(
    session: AsyncSession,
    statement: Select[T],
    id_column: InstrumentedAttribute[str],
    keys: Sequence[Key],
    page: Page,
) -> list[T]:
    """The rows of `statement` on this page, in the order of the listing.

    Raises:
        NotFoundError: a cursor names no row.
    """
    for cursor, is_after in ((page.after, True), (page.before, False)):
        if cursor is not None:
            position = await _position(session, id_column, keys, cursor)
            statement = statement.where(_beyond(keys, position, is_after is not page.descending))
    backwards = page.before is not None and page.after is None
    falling = page.descending is not backwards
    ordering = [key.desc() if falling else key.asc() for key in keys]
    rows = list(await session.scalars(statement.order_by(*ordering).limit(page.limit)))
    return rows[::-1] if backwards else rows


def page_of(rows: Sequence[R], page: Page) -> list[R]:
    """The same for rows at hand, the oldest first.

    Raises:
        NotFoundError: a cursor names no row.
    """
    ordered = list(rows[::-1] if page.descending else rows)
    places = {row.id: place for place, row in enumerate(ordered)}
    for cursor in (page.after, page.before):
        if cursor is not None and cursor not in places:
            raise no_such_cursor(cursor)
    start = 0 if page.after is None else places[page.after] + 1
    end = len(ordered) if page.before is None else places[page.before]
    found = ordered[start:end]
    backwards = page.before is not None and page.after is None
    return found[-page.limit :] if backwards else found[: page.limit]


def no_such_cursor(cursor: str) -> NotFoundError:
    """The error for a cursor that names no row."""
    return NotFoundError(f"the cursor {cursor!r} names nothing that exists; start from page one")


async def _position(
    session: AsyncSession, id_column: InstrumentedAttribute[str], keys: Sequence[Key], cursor: str
) -> tuple[Any, ...]:
    row = (await session.execute(select(*keys).where(id_column == cursor))).first()
    if row is None:
        raise no_such_cursor(cursor)
    return tuple(row)


def _beyond(keys: Sequence[Key], position: tuple[Any, ...], upwards: bool) -> ColumnElement[bool]:
    left = tuple_(*keys)
    right = tuple_(*(literal(value, key.type) for key, value in zip(keys, position, strict=True)))
    return left > right if upwards else left < right
