"""Token counts where no provider reports any: one token per four characters, rounded up.

Deliberately crude: the same on every machine, a few hundred nanoseconds per message, and close
enough for a budget (English prose has 4 to 5 characters per token in the usual vocabularies).
"""

from __future__ import annotations

from o_contracts.llm import LlmMessage, LlmRequest
from o_contracts.messages import ToolCall, Usage

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
"""What a message costs besides its text (role, separators)."""


def count_tokens(text: str) -> int:
    """Tokens of `text`, rounded up; 0 for an empty one."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def estimate_usage(
    request: LlmRequest, *, text: str, reasoning: str = "", tool_calls: tuple[ToolCall, ...] = ()
) -> Usage:
    """Counts for `request` and what came back of its reply so far."""
    called = sum(count_tokens(call.name) + count_tokens(call.arguments) for call in tool_calls)
    thought = count_tokens(reasoning)
    return Usage(
        prompt_tokens=count_prompt_tokens(request),
        completion_tokens=count_tokens(text) + called + thought,
        reasoning_tokens=thought,
    )


def count_prompt_tokens(request: LlmRequest) -> int:
    """Tokens of the context window (tool schemas are not counted)."""
    messages = request.messages
    try:
        characters = len("".join([message.content for message in messages]))  # type: ignore[misc]
    except TypeError:  # some message has no text, or parts
        characters = sum(len(text_of(message)) for message in messages)
    for message in messages:
        if message.tool_calls:
            characters += sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return -(-characters // CHARACTERS_PER_TOKEN) + TOKENS_PER_MESSAGE * len(messages)


def text_of(message: LlmMessage | None) -> str:
    """The text of a message: its content, or its text parts joined by newlines."""
    if message is None or message.content is None:
        return ""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(str(part["text"]) for part in message.content if part.get("type") == "text")
