"""Pages of rows that contain a text which the database cannot see.

Sealed columns cannot be searched for a part of a text by SQL, so rows are read in their order until
the page is full. What has to be found quickly is found by marks (`marks`) and vectors instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

READ_AT_ONCE: Final = 500


class _Row(Protocol):
    @property
    def id(self) -> Any: ...


R = TypeVar("R", bound=_Row)
P = TypeVar("P", bound=Any)


async def scan(
    fetch: Callable[[P], Awaitable[Sequence[R]]], page: P, matches: Callable[[R], bool]
) -> list[R]:
    """The rows of a page of a listing of which only those that match are there.

    Args:
        fetch: a page of the whole listing.
        page: which part; a dataclass with `limit`, `after` and `before`.
        matches: whether a row is in the listing.
    """
    backwards = page.before is not None and page.after is None
    found: list[R] = []
    part = replace(page, limit=max(page.limit, READ_AT_ONCE))
    while True:
        rows = await fetch(part)
        matching = [row for row in rows if matches(row)]
        found = [*matching, *found] if backwards else [*found, *matching]
        if len(found) >= page.limit or len(rows) < part.limit:
            return found[-page.limit :] if backwards else found[: page.limit]
        cursor = {"before": rows[0].id} if backwards else {"after": rows[-1].id}
        part = replace(part, **cursor)


def contains(part: str) -> Callable[[str | None], bool]:
    """Whether a text contains this one, upper and lower case alike."""
    wanted = part.casefold()
    return lambda text: wanted in (text or "").casefold()
