"""Tool calls that wait for the client: who approves them, or runs them itself.

A turn whose model calls such a tool ends with the stop reason `requires_approval`; its last message
asks the client. Nothing else is kept of it: what waits is read from the end of the history, so it
survives whatever dies. The client's answer is a turn of its own that goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from o_agent.tool_rules import Called
from o_contracts.messages import Message, ToolCall, ToolReturn
from o_contracts.turns import Answer, InputMessage

EVERY_CALL: Final = ""
"""Stands for all waiting calls, in the older form of an answer."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits: the calls of one step, in order, and the calls of the turn before them.

    `asked` are the ids of those that the client must answer; the others only wait for them.
    """

    step_id: str
    calls: tuple[ToolCall, ...]
    asked: frozenset[str]
    called: tuple[Called, ...]


def pending_of(messages: Sequence[Message]) -> Pending | None:
    """What waits at the end of a history."""
    if not messages or messages[-1].type != "approval_request_message":
        return None
    request = messages[-1]
    step = [m for m in messages if m.tool_calls and m.step_id == request.step_id]
    calls = tuple(call for message in step for call in message.tool_calls or ())
    asked = frozenset(call.tool_call_id for call in request.tool_calls or ())
    return Pending(request.step_id or "", calls, asked, tuple(_called(messages)))


def _called(messages: Sequence[Message]) -> list[Called]:
    """The calls that were run since a user spoke last."""
    called: list[Called] = []
    for message in reversed(messages):
        if message.type == "user_message":
            break
        if message.tool_return is not None and message.name is not None:
            called.append(Called(message.name, message.tool_return.tool_return))
    return called[::-1]


@dataclass(frozen=True, slots=True)
class Answers:
    """A client's answers by tool call id."""

    by_call: dict[str, Answer]
    request_id: str = ""

    def to(self, call: ToolCall) -> Answer | None:
        """The answer to this call."""
        return self.by_call.get(call.tool_call_id) or self.by_call.get(EVERY_CALL)

    def allowed(self) -> dict[str, bool]:
        """By call: whether the platform may run it (`TurnOpen.answers`)."""
        return {
            call_id: answer.approve is True and not answer.is_return
            for call_id, answer in self.by_call.items()
        }

    def stored(self, pending: Pending) -> list[dict[str, Any]]:
        """The content of the approval_response_message: one answer for each asked call."""
        given = [(call, self.to(call)) for call in pending.calls]
        return [
            _as_stored(call, a) for call, a in given if a and call.tool_call_id in pending.asked
        ]


def answers_in(messages: Sequence[InputMessage]) -> Answers | None:
    """The answers that a request holds; None if it answers nothing."""
    by_call: dict[str, Answer] = {}
    request_id = ""
    answering = [message for message in messages if message.is_answer]
    for message in answering:
        request_id = message.approval_request_id or request_id
        for answer in [*(message.approvals or ()), *(message.tool_returns or ())]:
            by_call[answer.tool_call_id] = answer
        if message.approve is not None and not message.approvals:
            by_call[EVERY_CALL] = Answer(
                EVERY_CALL, "approval", approve=message.approve, reason=message.reason
            )
    return Answers(by_call, request_id) if answering else None


def denied(call: ToolCall, reason: str | None) -> ToolReturn:
    """What the model reads of a call that the client denied."""
    why = f" Reason: {reason}" if reason else ""
    text = f"Error in {call.name}: the user denied this call; it was not run.{why}"
    return ToolReturn(call.tool_call_id, "error", text)


def returned(call: ToolCall, answer: Answer) -> ToolReturn:
    """What the client's own run of the tool gave back."""
    text = answer.tool_return or ""
    if isinstance(text, list):
        text = "\n".join(str(part.get("text", "")) for part in text)
    return ToolReturn(call.tool_call_id, answer.status, text, answer.stdout, answer.stderr)


def _as_stored(call: ToolCall, answer: Answer) -> dict[str, Any]:
    if answer.is_return:
        done = returned(call, answer)
        return {"type": "tool", **msgspec.to_builtins(done)}
    return {
        "type": "approval",
        "approve": answer.approve is True,
        "tool_call_id": call.tool_call_id,
        "reason": answer.reason,
    }
