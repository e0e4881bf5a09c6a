"""Pages of rows as statements: put together from conditions, prepared once for each combination.

The same paging by key as `paging` has, for what is listed all the time: no session, one statement
for a page. A condition names its row `r`.
"""
# ruff: noqa: S608 — statements are made of constants; values go apart

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from o_platform.agents.paging import Page, no_such_cursor
from o_platform.db.conditions import Conditions
from o_platform.db.engine import Ask, Value
from o_platform.db.line import statement

ROW: Final = "row_to_json(r)"
"""The document of a page whose rows are shown as they are."""
SMALLEST_SIZE: Final = 16
"""A plan is made for pages of up to so many rows, others for four times as many, and so on."""


class Selection:
    """Rows of a table that fulfil all of some conditions."""

    def __init__(self, table: str, columns: str = "*") -> None:
        """At first, every row; of which a document sees these columns."""
        self._table = table
        self._columns = columns
        self._conditions = Conditions()

    def where(self, condition: str, *values: Value) -> Selection:
        """Only rows of which this is true; `{}` stands for each value."""
        self._conditions.where(condition, *values)
        return self

    async def page(
        self, ask: Ask, keys: Sequence[str], page: Page, document: str = ROW
    ) -> list[Any]:
        """The documents of the rows on a page, in the order of the listing.

        Args:
            ask: runs the statement.
            keys: what the listing is ordered by, the last of them unique.
            page: which part.
            document: what is wanted of a row, as JSON.

        Raises:
            NotFoundError: a cursor names no row.
        """
        for cursor, is_after in ((page.after, True), (page.before, False)):
            if cursor is not None:
                beyond = ">" if is_after is not page.descending else "<"
                position = f"SELECT {', '.join(keys)} FROM {self._table} AS r WHERE r.id = {{}}"
                self.where(f"({', '.join(keys)}) {beyond} ({position})", cursor)
        backwards = page.before is not None and page.after is None
        falling = "DESC" if page.descending is not backwards else "ASC"
        order = ", ".join(f"{key} {falling}" for key in keys)
        limit = self._conditions.place(page.limit)
        first_rows = (
            f"SELECT {self._columns} FROM {self._table} AS r WHERE {self._conditions} "
            f"ORDER BY {order} LIMIT {_size(page.limit)}"
        )
        rows_of_page = f"SELECT * FROM ({first_rows}) AS r LIMIT {limit}"
        text = f"SELECT ({document})::text FROM ({rows_of_page}) AS r ORDER BY {order}"
        rows = await ask(statement(text), *self._conditions.values)
        if not rows:
            await self._require_cursors(ask, page)
        return rows[::-1] if backwards else rows

    async def _require_cursors(self, ask: Ask, page: Page) -> None:
        for cursor in (page.after, page.before):
            there = statement(f"SELECT 'true' FROM {self._table} WHERE id = $1")
            if cursor is not None and not await ask(there, cursor):
                raise no_such_cursor(cursor)


def _size(limit: int) -> int:
    """A power of four that is no less.

    PostgreSQL takes a limit that it does not know for a tenth of all rows, and so makes a plan
    anew with each listing, which takes longer than most listings do.
    """
    size = SMALLEST_SIZE
    while size < limit:
        size *= 4
    return size
