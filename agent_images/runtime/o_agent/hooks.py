"""What the functions of a genome's `loop/hooks.py` get, and what they may return.

Each is a plain function of two arguments: a value below, and the genome's parameters by name. It
returns a value of the same type, made with `dataclasses.replace`. It must be pure: a turn is run
again when its worker dies, and must come out the same.

| hook | called | typical use |
|---|---|---|
| `before_step(step, params)` | before each LLM call | add guidance, shorten, change settings |
| `after_reply(reply, params)` | after each LLM reply, before its tools | clean up the text |
| `after_tool(outcome, params)` | after each tool call | shorten what the model gets to see |

A genome with `after_reply` streams each reply in one piece, because its text is not final before.
A hook that raises, or returns something else, fails the turn with the code `genome_error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from o_agent.genome import Hook, ParamValue
from o_contracts.llm import LlmMessage
from o_contracts.messages import ToolCall

T = TypeVar("T")
LONGEST_REASON: Final = 1000


@dataclass(frozen=True, slots=True)
class Step:
    """The LLM call about to be made. `index` counts the calls of a turn from 0."""

    index: int
    messages: list[LlmMessage]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answered. `tool_calls` may be dropped or changed, too."""

    text: str
    tool_calls: list[ToolCall]


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a tool call gave back; `text` is what the model will see."""

    name: str
    is_error: bool
    text: str


class HookError(Exception):
    """A hook raised, or returned something that is not what it was given."""

    def __init__(self, message: str) -> None:
        """`message` may quote the genome's code, so it is cut, and mended if it cannot be sent."""
        super().__init__(message[:LONGEST_REASON].encode(errors="replace").decode())


def apply_hook(hook: Hook, value: T, params: Mapping[str, ParamValue]) -> T:
    """Call a hook and insist on its return type, in every field.

    Raises:
        HookError: the hook raised or returned another type.
    """
    try:
        result = hook(value, params)
    except Exception as error:  # the edge to foreign code: whatever it raises is its defect
        raise HookError(f"{hook.__name__} raised {type(error).__name__}: {error}") from error
    if type(result) is not type(value):
        raise HookError(f"{hook.__name__} returned {type(result).__name__}, not the value's type")
    try:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=type(value))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise HookError(f"{hook.__name__} returned a value that does not fit: {error}") from error
