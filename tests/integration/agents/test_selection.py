"""Pages of rows: what PostgreSQL makes of the statements that ask for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from psycopg import AsyncConnection

from o_platform.agents.paging import Page
from o_platform.agents.selection import SMALLEST_SIZE, Selection
from o_platform.db.engine import Value
from o_platform.db.line import Call, Line, Statement

pytestmark = pytest.mark.integration
ROWS = Statement(
    "INSERT INTO blocks (id, label, value, char_limit, read_only, metadata, tags) "
    "SELECT 'block-' || lpad(n::text, 4, '0'), 'x', '', 1, false, '{}', '{}' "
    "FROM generate_series(1, 1000) AS n"
)
PLANS = Statement(
    "SELECT json_build_array(generic_plans > 0, custom_plans)::text FROM pg_prepared_statements "
    "WHERE statement LIKE 'SELECT (row_to_json%FROM blocks AS r%'"
)


async def test_listings_of_like_size_share_a_plan(database_url: str) -> None:
    line = Line(await AsyncConnection.connect(database_url, autocommit=True))

    async def ask(statement: Statement, *values: Value) -> list[Any]:
        (result,) = await line.run(Call(statement, [str(value).encode() for value in values]))
        found = [result.get_value(row, 0) or b"null" for row in range(result.ntuples)]
        return [msgspec.json.decode(one) for one in found]

    await ask(ROWS)
    await ask(Statement("ANALYZE blocks"))
    for limit in range(1, SMALLEST_SIZE + 1):
        rows = await Selection("blocks").page(ask, ("r.created_at", "r.id"), Page(limit=limit))
        assert [row["id"] for row in rows] == [f"block-{1000 - n:04}" for n in range(limit)]
    assert await ask(PLANS) == [[True, 5]]
    rows = await Selection("blocks").page(ask, ("r.created_at", "r.id"), Page(limit=100))
    assert len({row["id"] for row in rows}) == 100
    await line.close()
