"""A prepared statement on a connection of its own, executed over and over (`db.line`)."""

from __future__ import annotations

from psycopg import AsyncConnection

from o_platform.db.line import Call, Line, Statement


class PreparedStatement:
    """One statement on a connection of its own; one execution at a time."""

    def __init__(self, connection: AsyncConnection, query: str) -> None:
        """`query` has its parameters as `$1`, `$2`, …; it is prepared at the first execution."""
        self._line = Line(connection)
        self._statement = Statement(query)

    async def execute(self, *values: bytes) -> list[tuple[bytes, ...]]:
        """The rows of the result, in text format; NULL is an empty value.

        Raises:
            psycopg.Error: the statement failed; or the connection broke, and whether the statement
                had its effect is unknown.
        """
        (result,) = await self._line.run(Call(self._statement, values))
        columns = range(result.nfields)
        return [
            tuple(result.get_value(row, column) or b"" for column in columns)
            for row in range(result.ntuples)
        ]

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()
