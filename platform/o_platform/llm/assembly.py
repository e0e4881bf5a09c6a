"""A reply put together from its deltas."""

from __future__ import annotations

import secrets
from typing import Any

from o_contracts.llm import LlmDelta
from o_contracts.messages import ToolCall


class Assembly:
    """Collects deltas. `usage` is whatever the provider reported, in its own shape."""

    __slots__ = ("_calls", "_reasoning", "_text", "usage")

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.usage: Any = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[str]] = {}

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)

    @property
    def has_begun(self) -> bool:
        """Whether anything has come."""
        return bool(self._text)

    def add(self, delta: LlmDelta) -> None:
        """Append a delta."""
        self._text.append(delta.text)
        self._reasoning.append(delta.reasoning)
        for piece in delta.tool_calls:
            call = self._calls.setdefault(piece.index, ["", "", ""])
            call[0] = piece.tool_call_id or call[0]
            call[1] = piece.name or call[1]
            call[2] += piece.arguments

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far, in order; a missing id is made up, missing arguments are `{}`."""
        return tuple(
            ToolCall(call_id or f"call_{secrets.token_hex(12)}", name, arguments or "{}")
            for _, (call_id, name, arguments) in sorted(self._calls.items())
        )
