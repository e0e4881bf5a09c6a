"""Stored messages as the public API shows them, and the body of a turn's response.

Every shape is a Struct with its fields in the API's order, so that one `encode` writes a whole
response. Which messages a client gets to see is a `ReplyView`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from o_contracts.messages import Message, StopReason, ToolCall, ToolReturn, Usage
from o_contracts.turns import TurnRequest

Common = tuple[
    str,
    str,
    str | None,
    str,
    str | None,
    str | None,
    str | None,
    bool | None,
    int | None,
    str | None,
]
"""The fields of `ApiMessage`, in order."""
_json = msgspec.json.Encoder()
encode = _json.encode


class ApiMessage(Struct):
    """What all messages of the API have in common."""

    id: str
    date: str
    name: str | None
    message_type: str
    otid: str | None
    sender_id: str | None
    step_id: str | None
    is_err: bool | None
    seq_id: int | None
    run_id: str | None


class TextMessage(ApiMessage):
    """user_message, assistant_message, system_message, event and summary messages."""

    content: str | list[dict[str, Any]]


class ReasoningMessage(ApiMessage):
    """reasoning_message."""

    reasoning: str
    source: str = "reasoner_model"
    signature: str | None = None


class SummaryMessage(ApiMessage):
    """summary_message."""

    summary: str


class ApiToolCall(Struct):
    """A tool call, or the next piece of one (then fields may be null)."""

    name: str | None
    arguments: str | None
    tool_call_id: str | None


class ToolCallMessage(ApiMessage):
    """tool_call_message, approval_request_message.

    In a token stream `tool_calls` is one piece instead of a list.
    """

    tool_call: ApiToolCall
    tool_calls: list[ApiToolCall] | ApiToolCall


class ApiToolReturn(Struct):
    """An item of `tool_returns`."""

    type: str
    tool_return: str
    status: str
    tool_call_id: str
    stdout: list[str] | None
    stderr: list[str] | None


class ToolReturnMessage(ApiMessage):
    """tool_return_message."""

    tool_return: str
    status: str
    tool_call_id: str
    stdout: list[str] | None
    stderr: list[str] | None
    tool_returns: list[ApiToolReturn]


class StopReasonEvent(Struct):
    """Why the turn ended."""

    stop_reason: str
    message_type: Literal["stop_reason"] = "stop_reason"


class UsageEvent(Struct):
    """Token counts of the turn. `context_tokens`: size of the last step's window, if known."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    step_count: int
    run_ids: list[str] | None
    cached_input_tokens: int
    reasoning_tokens: int
    context_tokens: int | None
    cache_write_tokens: int = 0
    message_type: Literal["usage_statistics"] = "usage_statistics"


class TurnResponse(Struct):
    """Body of a turn's response."""

    messages: list[ApiMessage]
    stop_reason: StopReasonEvent
    usage: UsageEvent
    logprobs: None = None
    turns: None = None


class ErrorMessage(Struct):
    """The data of an `error` event."""

    run_id: str
    error_type: str
    message: str
    detail: str | None
    seq_id: int | None
    message_type: Literal["error_message"] = "error_message"


@dataclass(slots=True)
class Outcome:
    """A finished turn. `messages` are those the agent made, in order.

    `begun` are background runs that it led to.
    """

    run_id: str
    messages: list[Message]
    stop_reason: StopReason
    usage: Usage
    step_count: int
    context_tokens: int | None = None
    begun: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ReplyView:
    """Which messages a client wants, and how.

    `types`: only these message types (absent: all). `assistant_tool`: calls of this tool are shown
    as assistant messages with the text of its argument `assistant_argument`, their returns not at
    all.
    """

    types: frozenset[str] | None
    assistant_tool: str | None
    assistant_argument: str

    @classmethod
    def of(cls, request: TurnRequest) -> ReplyView:
        """The view that a request asks for."""
        types = request.include_return_message_types
        uses_tool = request.use_assistant_message is not False
        return cls(
            None if types is None else frozenset(types),
            request.assistant_message_tool_name if uses_tool else None,
            request.assistant_message_tool_kwarg or "message",
        )

    def show(self, message: Message) -> ApiMessage | None:
        """The message as this client sees it, or None if it does not."""
        shown = self._shape(message)
        if shown is None or self.types is None or shown.message_type in self.types:
            return shown
        return None

    def wants(self, message_type: str) -> bool:
        """Whether messages of this type are shown at all."""
        return self.types is None or message_type in self.types

    def _shape(self, message: Message) -> ApiMessage | None:
        if message.tool_calls:
            return self._shape_calls(message, message.tool_calls)
        if message.tool_return is not None:
            if message.name is not None and message.name == self.assistant_tool:
                return None
            return _tool_return(message, message.tool_return)
        if message.type == "reasoning_message":
            return ReasoningMessage(*_common(message), str(message.content or ""))
        if message.type == "summary_message":
            return SummaryMessage(*_common(message), str(message.content or ""))
        return TextMessage(*_common(message), message.content or "")

    def _shape_calls(self, message: Message, calls: list[ToolCall]) -> ApiMessage:
        is_plain = message.type == "tool_call_message"
        if is_plain and len(calls) == 1 and calls[0].name == self.assistant_tool:
            text = said_by_tool(calls[0], self.assistant_argument)
            if text is not None:
                return TextMessage(*_common(message, "assistant_message"), text)
        shown = [ApiToolCall(call.name, call.arguments, call.tool_call_id) for call in calls]
        return ToolCallMessage(*_common(message), shown[0], shown)


def said_by_tool(call: ToolCall, argument: str) -> str | None:
    """The text that a `send_message`-like call says, or None if it says none."""
    try:
        arguments = msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        return None
    text = arguments.get(argument) if isinstance(arguments, dict) else None
    return text if isinstance(text, str) else None


def turn_response(outcome: Outcome, view: ReplyView) -> bytes:
    """The JSON body of a finished turn."""
    shown = [api for message in outcome.messages if (api := view.show(message)) is not None]
    stop = StopReasonEvent(outcome.stop_reason)
    return encode(TurnResponse(shown, stop, usage_event(outcome)))


def usage_event(outcome: Outcome) -> UsageEvent:
    """The usage part of a response."""
    usage = outcome.usage
    return UsageEvent(
        usage.completion_tokens,
        usage.prompt_tokens,
        usage.prompt_tokens + usage.completion_tokens,
        outcome.step_count,
        [outcome.run_id, *outcome.begun],
        usage.cached_input_tokens,
        usage.reasoning_tokens,
        outcome.context_tokens,
    )


class _DateText:
    """Formats dates to the second; turns of one second share the text."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, date_us: int) -> str:
        second = date_us // 1_000_000
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).isoformat()
        return self._text


date_text: Final = _DateText()
"""A date in microseconds since the epoch as the API writes it, to the second, in UTC."""


def _common(message: Message, message_type: str | None = None) -> Common:
    return (
        message.id,
        date_text(message.date_us),
        message.name,
        message_type or message.type,
        message.otid,
        message.sender_id,
        message.step_id,
        message.is_err,
        None,
        message.run_id,
    )


def _tool_return(message: Message, result: ToolReturn) -> ToolReturnMessage:
    item = ApiToolReturn(
        "tool",
        result.tool_return,
        result.status,
        result.tool_call_id,
        result.stdout,
        result.stderr,
    )
    return ToolReturnMessage(
        *_common(message),
        result.tool_return,
        result.status,
        result.tool_call_id,
        result.stdout,
        result.stderr,
        [item],
    )
