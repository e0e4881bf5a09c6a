"""`@tool` and `@when` inside a sandbox: what they say was read when the tool was registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final


def _tool(function: Any = None, /, **_: Any) -> Any:
    """`@tool` and `@tool(tier=…)`."""
    return _same if function is None else function


def _when(_: Any, /) -> Callable[[Any], Any]:
    """`@when(…)`."""
    return _same


def _same(function: Any) -> Any:
    return function


DECORATORS: Final[dict[str, Any]] = {"tool": _tool, "when": _when}
"""The names of `o_agent.sdk` in a guest."""
