"""Conditions on the rows of a statement, put together with their values.

What a condition says is written in the code; what it compares with goes apart, as a parameter. So
each combination of conditions is one text, which is prepared once.
"""

from __future__ import annotations

from o_platform.db.engine import Value


class Conditions:
    """What all rows have to fulfil; `values` are those of the statement's parameters, in order."""

    def __init__(self, *values: Value) -> None:
        """`values` are those of the first parameters: `$1`, `$2`, …"""  # noqa: D415
        self.values: list[Value] = [*values]
        self._conditions: list[str] = []

    def where(self, condition: str, *values: Value) -> None:
        """One more condition; `{}` stands for each value."""
        self._conditions.append(condition.format(*map(self.place, values)))

    def place(self, value: Value) -> str:
        """The parameter that has this value."""
        self.values.append(value)
        return f"${len(self.values)}"

    def __str__(self) -> str:
        """All of them, for a WHERE."""
        return " AND ".join(self._conditions) or "true"
