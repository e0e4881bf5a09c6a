"""A turn's messages and usage, as what OpenAI's APIs call them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from o_platform.agents.turn_client import TurnRefusedError

_CUT = frozenset({"max_steps", "max_tokens_exceeded"})
"""Stop reasons of a turn that was not finished."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an agent said in a turn."""

    run_id: str
    text: str
    reasoning: str
    stop_reason: str
    usage: dict[str, Any]

    @property
    def is_cut(self) -> bool:
        """Whether a limit ended the turn."""
        return self.stop_reason in _CUT


def reply_of(turn: dict[str, Any]) -> Reply:
    """The reply in the body of a turn's response."""
    messages = turn["messages"]
    run_ids = turn["usage"].get("run_ids") or [""]
    return Reply(
        run_ids[0],
        "\n".join(_texts(messages, "assistant_message", "content")),
        "\n".join(_texts(messages, "reasoning_message", "reasoning")),
        turn["stop_reason"]["stop_reason"],
        turn["usage"],
    )


def piece_of(event: dict[str, Any]) -> tuple[str, str]:
    """The field (`content` or `reasoning`) and the text of an event; empty if it says nothing."""
    kind = event.get("message_type")
    if kind == "assistant_message":
        return "content", text_of(event.get("content"))
    if kind == "reasoning_message":
        return "reasoning", text_of(event.get("reasoning"))
    return "", ""


def failure_of(event: dict[str, Any]) -> TurnRefusedError | None:
    """The error that ended a stream, if this event is one."""
    if event.get("message_type") != "error_message":
        return None
    return TurnRefusedError(500, str(event["error_type"]), str(event["message"]))


def is_cut(stop_reason: str) -> bool:
    """Whether a limit ended the turn."""
    return stop_reason in _CUT


def text_of(content: Any) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or [])


def bare(run_id: str) -> str:
    """The UUID of a run, of which these APIs make ids of their own."""
    return run_id.removeprefix("run-")


def _texts(messages: Iterable[dict[str, Any]], kind: str, field: str) -> list[str]:
    return [text_of(one[field]) for one in messages if one["message_type"] == kind]
