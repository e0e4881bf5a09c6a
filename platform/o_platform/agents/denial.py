"""Ending what waits for an approval without its client: every waiting call is denied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from o_contracts.ids import new_id, now_us
from o_contracts.messages import Message, ToolCall, ToolReturn

REASON: Final = "cancelled by the client"


def denial_of(messages: Sequence[Message]) -> list[Message]:
    """The messages that deny what waits at the end of a history; none if nothing waits."""
    if not messages or messages[-1].type != "approval_request_message":
        return []
    request = messages[-1]
    step = [message for message in messages if message.step_id == request.step_id]
    calls = [call for message in step for call in message.tool_calls or ()]
    answers = [
        {"type": "approval", "approve": False, "tool_call_id": c.tool_call_id, "reason": REASON}
        for c in request.tool_calls or ()
    ]
    response = Message(
        new_id("message"), "approval_response_message", now_us(), answers, run_id=request.run_id
    )
    return [response, *(_returned(call, request) for call in calls)]


def _returned(call: ToolCall, request: Message) -> Message:
    text = f"Error in {call.name}: it was not run; {REASON}"
    return Message(
        new_id("message"),
        "tool_return_message",
        now_us(),
        tool_return=ToolReturn(call.tool_call_id, "error", text),
        name=call.name,
        step_id=request.step_id,
        run_id=request.run_id,
        is_err=True,
    )
