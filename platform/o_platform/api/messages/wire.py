"""Stored messages as the public API shows them, exactly as instances show them in a turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from o_contracts.messages import Message, ToolCall


@dataclass(frozen=True, slots=True)
class MessageView:
    """How a client wants to see messages.

    Calls of `assistant_tool` are shown as assistant messages with the text of its argument
    `assistant_argument`, their returns not at all; None shows them as they are.
    """

    assistant_tool: str | None = "send_message"
    assistant_argument: str = "message"

    def show(self, message: Message) -> dict[str, Any] | None:
        """The message ready for JSON, or None if this client does not see it."""
        if self.assistant_tool is None:
            return _common(message) | _BODIES[message.type](message)
        if message.type == "tool_return_message" and message.name == self.assistant_tool:
            return None
        text = self._said(message.tool_calls or [])
        if text is not None:
            return _common(message) | {"message_type": "assistant_message", "content": text}
        return _common(message) | _BODIES[message.type](message)

    def _said(self, calls: list[ToolCall]) -> str | None:
        if len(calls) != 1 or calls[0].name != self.assistant_tool:
            return None
        try:
            arguments = msgspec.json.decode(calls[0].arguments)
        except msgspec.DecodeError:
            return None
        text = arguments.get(self.assistant_argument) if isinstance(arguments, dict) else None
        return text if isinstance(text, str) else None


def _common(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "date": datetime.fromtimestamp(message.date_us // 1_000_000, UTC).isoformat(),
        "name": message.name,
        "message_type": message.type,
        "otid": message.otid,
        "sender_id": message.sender_id,
        "step_id": message.step_id,
        "is_err": message.is_err,
        "seq_id": None,
        "run_id": message.run_id,
    }


def _text(message: Message) -> str:
    if isinstance(message.content, list):
        return "".join(str(part.get("text", "")) for part in message.content)
    return message.content or ""


def _content(message: Message) -> dict[str, Any]:
    return {"content": message.content or ""}


def _text_content(message: Message) -> dict[str, Any]:
    return {"content": _text(message)}


def _reasoning(message: Message) -> dict[str, Any]:
    return {"reasoning": _text(message), "source": "reasoner_model", "signature": None}


def _hidden_reasoning(message: Message) -> dict[str, Any]:
    return {"state": "omitted", "hidden_reasoning": _text(message) or None}


def _tool_calls(message: Message) -> dict[str, Any]:
    calls = [
        {"name": call.name, "arguments": call.arguments, "tool_call_id": call.tool_call_id}
        for call in message.tool_calls or []
    ]
    return {"tool_call": calls[0] if calls else None, "tool_calls": calls}


def _tool_return(message: Message) -> dict[str, Any]:
    returned = message.tool_return
    if returned is None:
        raise ValueError(f"{message.id} is a tool_return_message without a tool_return")
    wire: dict[str, Any] = {
        "tool_return": returned.tool_return,
        "status": returned.status,
        "tool_call_id": returned.tool_call_id,
        "stdout": returned.stdout,
        "stderr": returned.stderr,
    }
    return wire | {"tool_returns": [{"type": "tool", **wire}]}


def _approval_response(message: Message) -> dict[str, Any]:
    return {"approvals": message.content if isinstance(message.content, list) else []}


def _summary(message: Message) -> dict[str, Any]:
    return {"summary": _text(message)}


def _event(message: Message) -> dict[str, Any]:
    return {"event_type": "compaction", "event_data": {"text": _text(message)}}


_BODIES: Final[dict[str, Callable[[Message], dict[str, Any]]]] = {
    "system_message": _text_content,
    "user_message": _content,
    "assistant_message": _content,
    "reasoning_message": _reasoning,
    "hidden_reasoning_message": _hidden_reasoning,
    "tool_call_message": _tool_calls,
    "tool_return_message": _tool_return,
    "approval_request_message": _tool_calls,
    "approval_response_message": _approval_response,
    "summary_message": _summary,
    "event_message": _event,
}
