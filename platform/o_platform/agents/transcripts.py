"""A conversation as text, for an agent that was not part of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from o_contracts.messages import Message

LONGEST_MESSAGE: Final = 4_000
"""Characters of a message that are shown."""
LONGEST_TRANSCRIPT: Final = 60_000
"""Characters of a transcript; of a longer one, its end."""
_SHOWN: Final = {
    "user_message": "user",
    "assistant_message": "assistant",
    "system_message": "system",
    "tool_return_message": "tool result",
    "summary_message": "summary",
}
_CALLS: Final = frozenset({"tool_call_message", "approval_request_message"})


def transcript(said: Sequence[tuple[str | None, Message]]) -> str:
    """What was said, a paragraph for each message, the oldest first.

    Args:
        said: messages with their conversation (None: the agent's default one), in order.
    """
    parts = list(_parts(said))
    length, first = 0, len(parts)
    while first > 0 and length + len(parts[first - 1]) <= LONGEST_TRANSCRIPT:
        first -= 1
        length += len(parts[first])
    cut = [f"({first} earlier parts are left out: too long.)"] if first else []
    return "\n\n".join([*cut, *parts[first:]])


def _parts(said: Sequence[tuple[str | None, Message]]) -> Iterator[str]:
    thread: str | None = None
    for conversation_id, message in said:
        if conversation_id != thread:
            thread = conversation_id
            yield f"(In {thread or 'the default conversation'}:)"
        if message.type in _CALLS:
            for call in message.tool_calls or ():
                yield f"[calls {call.name}] {_shortened(call.arguments)}"
        elif message.type in _SHOWN and message.text:
            yield f"[{_SHOWN[message.type]}] {_shortened(message.text)}"


def _shortened(text: str) -> str:
    left = len(text) - LONGEST_MESSAGE
    return text if left <= 0 else f"{text[:LONGEST_MESSAGE]} … ({left} more characters)"
