"""Stored messages as a model reads them.

One stored message is one message of the API; what the model said in one step (reasoning, text,
tool calls share a `step_id`) is one message to the model. Each is kept encoded, with the number of
stored messages it stands for, so that a long history costs a copy per turn and no encoding.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from o_contracts.llm import LlmMessage
from o_contracts.messages import Message, ToolCall

AGENT_TYPES: Final = frozenset(
    {
        "assistant_message",
        "reasoning_message",
        "hidden_reasoning_message",
        "tool_call_message",
        "approval_request_message",
    }
)
_UNREAD: Final = frozenset(
    {"reasoning_message", "hidden_reasoning_message", "approval_response_message"}
)
"""Types that no model reads: what an answer to an approval led to is in the tools' returns."""
_ROLES: Final = {"system_message": "system", "assistant_message": "assistant"}
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LlmMessage)
_list_decoder = msgspec.msgpack.Decoder(list[LlmMessage])


class Unit(NamedTuple):
    """An encoded `LlmMessage`: how many stored messages it is made of, its size, its kind.

    `first_id` is the first of those messages; empty if there is none.
    """

    raw: msgspec.Raw
    messages: int
    size_bytes: int
    is_return: bool
    first_id: str = ""


def encode_unit(message: LlmMessage, stored: int, first_id: str = "") -> Unit:
    """A message to the model that stands for `stored` messages of the history."""
    data = _encoder.encode(message)
    return Unit(msgspec.Raw(data), stored, len(data), message.role == "tool", first_id)


def decode_messages(raws: list[msgspec.Raw]) -> list[LlmMessage]:
    """The messages behind encoded ones."""
    return [_decoder.decode(raw) for raw in raws]


def encoded_list(length: int, pieces: list[bytes]) -> msgspec.Raw:
    """A list of encoded messages, encoded; the pieces hold `length` of them."""
    if length < 0x10:
        head = bytes((0x90 | length,))
    elif length < 0x10000:
        head = b"\xdc" + length.to_bytes(2, "big")
    else:
        head = b"\xdd" + length.to_bytes(4, "big")
    return msgspec.Raw(b"".join([head, *pieces]))


def decode_list(encoded: msgspec.Raw) -> list[LlmMessage]:
    """The messages of such a list, for hooks."""
    return _list_decoder.decode(encoded)


def history_units(messages: list[Message]) -> list[Unit]:
    """A history as units; tool calls and returns without their counterpart are left out.

    The calls at its end that wait for an approval will have theirs, so they stay.
    """
    complete = _answered_calls(messages)
    units: list[Unit] = []
    step: list[Message] = []
    for message in messages:
        if step and (message.step_id != step[0].step_id or message.type not in AGENT_TYPES):
            units.extend(_step_unit(step, complete))
            step = []
        if message.type in AGENT_TYPES and message.step_id is not None:
            step.append(message)
        else:
            units.extend(_single_unit(message, complete))
    if step:
        units.extend(_step_unit(step, complete))
    return units


def _answered_calls(messages: list[Message]) -> set[str]:
    asked = {call.tool_call_id for message in messages for call in message.tool_calls or ()}
    answered = {m.tool_return.tool_call_id for m in messages if m.tool_return is not None}
    if messages and messages[-1].type == "approval_request_message":
        step = [message for message in messages if message.step_id == messages[-1].step_id]
        answered |= {call.tool_call_id for message in step for call in message.tool_calls or ()}
    return asked & answered


def _step_unit(step: list[Message], complete: set[str]) -> list[Unit]:
    texts = [m.content for m in step if m.type == "assistant_message" and m.content]
    calls = [call for m in step for call in m.tool_calls or () if call.tool_call_id in complete]
    message = assistant_message(_plain_text(texts), calls)
    return [] if message is None else [encode_unit(message, len(step), step[0].id)]


def assistant_message(text: str, calls: list[ToolCall]) -> LlmMessage | None:
    """What the model said in one step; None if it said nothing that it should read again."""
    if not text and not calls:
        return None
    return LlmMessage("assistant", text or None, calls or None)


def _single_unit(message: Message, complete: set[str]) -> list[Unit]:
    result = message.tool_return
    if result is not None:
        if result.tool_call_id not in complete:
            return []
        returned = tool_message(result.tool_call_id, result.tool_return)
        return [encode_unit(returned, 1, message.id)]
    if message.type in _UNREAD:
        return []
    return [encode_unit(input_message(message), 1, message.id)]


def tool_message(tool_call_id: str, text: str) -> LlmMessage:
    """A tool's return as the model reads it."""
    return LlmMessage("tool", text, None, tool_call_id)


def input_message(message: Message) -> LlmMessage:
    """A message that came from outside: a user's, a system's, an event, a summary."""
    content = message.content
    if isinstance(content, list):
        content = [shown for part in content if (shown := _part(part)) is not None]
    elif message.type == "summary_message":
        content = f"<summary_of_earlier_messages>\n{content}\n</summary_of_earlier_messages>"
    elif message.type == "event_message":
        content = f"<event>\n{content}\n</event>"
    role: Any = _ROLES.get(message.type, "user")
    return LlmMessage(role, content or "", name=message.name if role == "user" else None)


def _part(part: dict[str, Any]) -> dict[str, Any] | None:
    """A text or an image of the API as chat-completions models take it; they know no other part.

    Histories may hold parts that no turn's request could: they can be imported, too.
    """
    if part.get("type") == "text":
        return {"type": "text", "text": str(part.get("text", ""))}
    source = part.get("source")
    if part.get("type") != "image" or not isinstance(source, dict):
        return None
    url = source.get("url")
    if not url and source.get("data"):
        url = f"data:{source.get('media_type', 'image/png')};base64,{source['data']}"
    return {"type": "image_url", "image_url": {"url": url}} if url else None


def _plain_text(contents: list[str | list[dict[str, Any]]]) -> str:
    texts: list[str] = []
    for content in contents:
        if isinstance(content, str):
            texts.append(content)
        else:
            texts += [str(part["text"]) for part in content if "text" in part]
    return "\n".join(texts)
