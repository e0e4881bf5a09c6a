"""Messages as the retired server kept them, one for each role, and as this one does.

There one stored message could be several of the API: an assistant's reasoning, text and tool calls
were one row, and texts of users and tools were wrapped in JSON with a status and a time. Here one
stored message is one message of the API, and those of one reply share a `step_id`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from o_contracts.ids import new_id, now_us
from o_contracts.messages import Message, MessageType, ToolCall, ToolReturn

Role = Literal["assistant", "user", "tool", "function", "system", "approval", "summary"]
NameMessage = Callable[["RoleMessage", int], str]
"""The id of the n-th message that a role's message becomes."""
_PACKED: Final = frozenset({"user_message", "system_alert", "heartbeat", "login", "system_message"})
_SUMMARY: Final = "summary of the previous"
_REASONING: Final = frozenset({"reasoning", "summarized_reasoning"})
_HIDDEN: Final = frozenset({"redacted_reasoning", "omitted_reasoning"})
_SHOWN_PARTS: Final = frozenset({"text", "image"})
_REPLY: Final = frozenset(
    {"reasoning_message", "hidden_reasoning_message", "assistant_message", "tool_call_message"}
)


class CalledFunction(BaseModel):
    """What a tool call calls; `arguments` is JSON text."""

    name: str
    arguments: str = "{}"


class RoleToolCall(BaseModel):
    """A tool call of an assistant's message."""

    id: str
    function: CalledFunction
    type: str = "function"


class RoleMessage(BaseModel):
    """One message as it stands in agent files and in the retired server's tables."""

    model_config = ConfigDict(extra="ignore")

    role: Role
    id: str = ""
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    model: str | None = None
    agent_id: str | None = None
    tool_calls: list[RoleToolCall] | None = None
    tool_call_id: str | None = None
    tool_returns: list[dict[str, Any]] | None = None
    created_at: datetime | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    denial_reason: str | None = None
    approvals: list[dict[str, Any]] | None = None
    step_id: str | None = Field(None, max_length=64)
    run_id: str | None = Field(None, max_length=64)
    is_err: bool | None = None

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The content as parts."""
        if isinstance(self.content, str):
            return [{"type": "text", "text": self.content}] if self.content else []
        return self.content or []

    @property
    def text(self) -> str:
        """The text of the content."""
        return "\n".join(str(p.get("text") or "") for p in self.parts if p.get("type") == "text")


def fresh_id(message: RoleMessage, index: int) -> str:
    """A new id, whatever the message was called."""
    return new_id("message")


def as_stored(
    messages: Sequence[RoleMessage],
    *,
    thinks_aloud: bool,
    name: NameMessage = fresh_id,
    has_prompt: bool = True,
) -> list[Message]:
    """The history as this server keeps it.

    Args:
        messages: in order.
        thinks_aloud: whether text beside a tool call is a thought (older kinds of agents).
        name: gives the ids.
        has_prompt: whether a system message at the beginning is the compiled prompt, and left out.
    """
    first = messages[:1] if has_prompt and messages and messages[0].role == "system" else []
    stored: list[Message] = []
    for message in messages[len(first) :]:
        made = [part for part in _converted(message, thinks_aloud) if part is not None]
        stored += [_named(part, message, index, name) for index, part in enumerate(made)]
    return stored


def as_roles(messages: Iterable[Message]) -> list[RoleMessage]:
    """The history as other servers read it: one message for each reply of the model."""
    roles: list[RoleMessage] = []
    for _, group in groupby(messages, key=_reply_of):
        roles.append(_joined(list(group)))
    return roles


def _named(part: Message, message: RoleMessage, index: int, name: NameMessage) -> Message:
    at = message.created_at
    fields = {f: getattr(part, f) for f in ("type", "content", "tool_calls", "tool_return")}
    return Message(
        id=name(message, index),
        date_us=now_us() if at is None else int(_aware(at).timestamp() * 1e6),
        name=part.name or message.name,
        otid=message.otid if index == 0 else None,
        sender_id=message.sender_id,
        step_id=part.step_id or message.step_id,
        run_id=message.run_id,
        is_err=part.is_err or message.is_err,
        **fields,
    )


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _converted(message: RoleMessage, thinks_aloud: bool) -> Iterator[Message | None]:
    match message.role:
        case "assistant":
            yield from _reply(message, thinks_aloud)
        case "tool" | "function":
            yield from _returns(message)
        case "approval":
            yield from _approval(message, thinks_aloud)
        case "summary":
            yield _made("summary_message", _unpacked(message.text) or message.text)
        case "user" | "system":
            yield _said(message)


def _made(
    kind: MessageType, content: str | list[dict[str, Any]] | None = None, **fields: Any
) -> Message:
    return Message("", kind, 0, content, **fields)


def _said(message: RoleMessage) -> Message | None:
    packed = _packed(message.text)
    if packed is not None:
        kind, text = packed
        if kind == "user_message":
            return _made("user_message", text)
        is_summary = kind == "system_alert" and _SUMMARY in text
        return _made("summary_message" if is_summary else "system_message", text)
    own: MessageType = "user_message" if message.role == "user" else "system_message"
    shown = [part for part in message.parts if part.get("type") in _SHOWN_PARTS]
    plain = all(part.get("type") == "text" for part in shown)
    return _made(own, message.text if plain else shown)


def _packed(text: str) -> tuple[str, str] | None:
    """Kind and text of a message that is wrapped in JSON."""
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("type") not in _PACKED:
        return None
    inner = found.get("message", found.get("reason", ""))
    return str(found["type"]), inner if isinstance(inner, str) else json.dumps(inner)


def _unpacked(text: str) -> str:
    packed = _packed(text)
    return packed[1] if packed else ""


def _reply(message: RoleMessage, thinks_aloud: bool) -> Iterator[Message]:
    step_id = message.step_id or new_id("step")
    calls = _calls(message)
    for part in message.parts:
        kind = part.get("type")
        if kind in _REASONING:
            yield _made("reasoning_message", _reasoning(part), step_id=step_id)
        elif kind in _HIDDEN:
            yield _made("hidden_reasoning_message", str(part.get("data") or ""), step_id=step_id)
    if message.text:
        thought = thinks_aloud and bool(calls)
        text_kind: MessageType = "reasoning_message" if thought else "assistant_message"
        yield _made(text_kind, message.text, step_id=step_id)
    if calls:
        yield _made("tool_call_message", tool_calls=calls, step_id=step_id)


def _reasoning(part: dict[str, Any]) -> str:
    if isinstance(part.get("summary"), list):
        return "\n".join(str(one.get("text", "")) for one in part["summary"])
    return str(part.get("reasoning") or "")


def _calls(message: RoleMessage) -> list[ToolCall]:
    return [
        ToolCall(call.id, call.function.name, call.function.arguments)
        for call in message.tool_calls or ()
    ]


def _returns(message: RoleMessage) -> Iterator[Message]:
    returns = message.tool_returns or [{}]
    for given in returns:
        call_id = str(given.get("tool_call_id") or message.tool_call_id or "")
        body = given.get("func_response", given.get("tool_return"))
        text, is_error = _returned(body if isinstance(body, str) else message.text)
        is_error = is_error or given.get("status") == "error"
        result = ToolReturn(
            call_id, "error" if is_error else "success", text,
            given.get("stdout") or None, given.get("stderr") or None,
        )  # fmt: skip
        yield Message("", "tool_return_message", 0, tool_return=result, is_err=is_error or None)


def _returned(text: str) -> tuple[str, bool]:
    """Text of a return, and whether it is an error's, without the JSON that it is wrapped in."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text, False
    if not isinstance(found, dict) or not {"status", "message"} <= found.keys():
        return text, False
    inner = found["message"]
    return (inner if isinstance(inner, str) else json.dumps(inner)), found["status"] != "OK"


def _approval(message: RoleMessage, thinks_aloud: bool) -> Iterator[Message]:
    calls = _calls(message)
    if calls:
        *spoken, asked = _reply(message, thinks_aloud)
        yield from spoken
        yield _made("approval_request_message", tool_calls=calls, step_id=asked.step_id)
        return
    answers = message.approvals or [
        {
            "type": "approval", "approve": message.approve is True, "tool_call_id":
            message.tool_call_id or "", "reason": message.denial_reason,
        }
    ]  # fmt: skip
    yield _made("approval_response_message", answers)


def _reply_of(message: Message) -> tuple[str, str]:
    """What the messages of one reply have in common, and no other message with them."""
    if message.type in _REPLY and message.step_id is not None:
        return ("step", message.step_id)
    return ("message", message.id)


def _joined(group: list[Message]) -> RoleMessage:
    first = group[0]
    content = [part for message in group for part in _parts_of(message)]
    calls = [call for message in group for call in message.tool_calls or ()]
    shown = [
        RoleToolCall(
            id=call.tool_call_id, function=CalledFunction(name=call.name, arguments=call.arguments)
        )
        for call in calls
    ]
    role = RoleMessage(
        id=first.id, role=_role(first), content=content, name=first.name, otid=first.otid,
        sender_id=first.sender_id, tool_calls=shown or None, step_id=first.step_id,
        created_at=datetime.fromtimestamp(first.date_us / 1e6, UTC), is_err=first.is_err,
    )  # fmt: skip
    return role.model_copy(update=_answers(first))


def _role(message: Message) -> Role:
    match message.type:
        case "user_message":
            return "user"
        case "system_message" | "event_message":
            return "system"
        case "tool_return_message":
            return "tool"
        case "summary_message":
            return "summary"
        case "approval_request_message" | "approval_response_message":
            return "approval"
        case _:
            return "assistant"


def _parts_of(message: Message) -> list[dict[str, Any]]:
    if message.tool_return is not None:
        return [{"type": "text", "text": message.tool_return.tool_return}]
    if message.type == "approval_response_message":
        return []
    content = message.content
    if isinstance(content, list):
        return content
    match message.type:
        case "reasoning_message":
            return [{"type": "reasoning", "is_native": True, "reasoning": content or ""}]
        case "hidden_reasoning_message":
            return [{"type": "omitted_reasoning"}]
        case _:
            return [{"type": "text", "text": content}] if content else []


def _answers(message: Message) -> dict[str, Any]:
    result = message.tool_return
    if result is not None:
        returned = {
            "tool_call_id": result.tool_call_id, "status": result.status,
            "func_response": result.tool_return, "stdout": result.stdout, "stderr": result.stderr,
        }  # fmt: skip
        return {"tool_call_id": result.tool_call_id, "tool_returns": [returned]}
    if message.type == "approval_response_message" and isinstance(message.content, list):
        return {"approvals": message.content}
    return {}
