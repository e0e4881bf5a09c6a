"""Tool calls that wait for their client: which turns may begin, and what those may run.

What waits is the end of the history. While something does, only an answer to all of it may begin a
turn; what needs an approval runs in a turn that brought the approval, whatever the instance says.
"""

from __future__ import annotations

from typing import ClassVar, Final

from o_contracts.bridge import PENDING_APPROVAL, TurnOpen
from o_contracts.messages import AgentContext, Message
from o_platform.bridge.views import AgentView
from o_platform.errors import BadInputError, ConflictError, OError

EVERY_CALL: Final = ""
"""Stands for all waiting calls in `TurnOpen.answers`."""


class PendingApprovalError(ConflictError):
    """Tool calls wait for an answer, and this request is none."""

    code: ClassVar[str] = PENDING_APPROVAL


class NothingPendingError(BadInputError):
    """No tool call waits for an answer."""

    code = "no_pending_approval"
    status = 400


class WrongAnswerError(BadInputError):
    """The answer is not one to the calls that wait."""

    code = "wrong_approval"
    status = 400


def refusal(view: AgentView, request: TurnOpen) -> OError | None:
    """Why a turn must not begin, if it must not."""
    last = view.last
    if last is None or last.type != "approval_request_message":
        if request.answers is None:
            return None
        return NothingPendingError(
            "no tool call waits for an answer; it was answered before, or never asked for"
        )
    if request.answers is None:
        return PendingApprovalError(
            "the agent waits for an approval; send an `approval` message that answers "
            f"{last.id} before anything else",
            pending_request_id=last.id,
        )
    return _mismatch(last, request)


def may_run(context: AgentContext, request: TurnOpen, name: str, tool_call_id: str) -> bool:
    """Whether a turn may run a call, as far as approvals go."""
    if not any(
        rule.get("type") == "requires_approval" and rule.get("tool_name") == name
        for rule in context.tool_rules
    ):
        return True
    answers = request.answers or {}
    return answers.get(tool_call_id, answers.get(EVERY_CALL)) is True


def _mismatch(last: Message, request: TurnOpen) -> OError | None:
    answers = request.answers or {}
    asked = {call.tool_call_id for call in last.tool_calls or ()}
    if request.answered_request and request.answered_request != last.id:
        return WrongAnswerError(
            f"{request.answered_request} does not wait for an answer, {last.id} does",
            pending_request_id=last.id,
        )
    unknown = answers.keys() - asked - {EVERY_CALL}
    if unknown:
        return WrongAnswerError(
            f"no call {min(unknown)!r} waits for an answer; those that do: {_listed(asked)}"
        )
    missing = asked - answers.keys()
    if missing and EVERY_CALL not in answers:
        return WrongAnswerError(f"the calls {_listed(missing)} wait for an answer, too")
    return None


def _listed(ids: set[str]) -> str:
    return ", ".join(sorted(ids))
