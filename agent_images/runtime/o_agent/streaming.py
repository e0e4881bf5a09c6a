"""A turn as a stream of server-sent events.

`ping` (with the run's id) → messages, whole or in pieces that share the message's id and otid →
`stop_reason` → `usage_statistics` → `[DONE]`. A failure after the first byte is a `stop_reason` and
an `error` event, never a silent end.

When a turn is executed again, what the client already has is made once more and not sent once more.
If a model's answer comes out different then (its first was lost before it could be recorded), the
new one is sent whole under a new message id, which is the one that will be stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from o_agent.api_messages import (
    ApiMessage,
    ApiToolCall,
    Common,
    ErrorMessage,
    Outcome,
    ReasoningMessage,
    ReplyView,
    StopReasonEvent,
    TextMessage,
    ToolCallMessage,
    UsageEvent,
    date_text,
    encode,
    usage_event,
)
from o_agent.message_ids import UuidSource, otid_of
from o_agent.published import Publisher, Told
from o_agent.turn_failure import TurnFailed
from o_agent.turn_frame import DeltaPlace
from o_contracts.ids import now_us
from o_contracts.llm import LlmDelta, ToolCallDelta
from o_contracts.messages import Message

_Key = tuple[str | int, ...]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PING_S: Final = 10.0
"""Silence after which a keep-alive ping is sent."""
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]
_DONE: Final = b"data: [DONE]\n\n"
_CALL_TYPES: Final = {"calls": "tool_call_message", "approvals": "approval_request_message"}


class _Progress:
    """How much of a text the client has, and how much of that is still to be made again."""

    __slots__ = ("pending", "sent")

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.pending = ""

    def restart(self) -> None:
        self.pending = "".join(self.sent)

    def advance(self, text: str) -> str | None:
        """The part of `text` that is new to the client; None if it contradicts what it has."""
        if self.pending:
            known = min(len(self.pending), len(text))
            if self.pending[:known] != text[:known]:
                return None
            self.pending = self.pending[known:]
            text = text[known:]
        if text:
            self.sent.append(text)
        return text


class EventStream:
    """The sink of a streamed turn; writes to an ASGI `send`."""

    def __init__(
        self,
        send: Send,
        view: ReplyView,
        uuids: UuidSource,
        *,
        wants_tokens: bool,
        include_pings: bool,
        publisher: Publisher | None,
    ) -> None:
        """With `publisher` (background runs) messages carry `seq_id` 1, 2, … and are published."""
        self._send = send
        self._view = view
        self._uuids = uuids
        self._wants_tokens = wants_tokens
        self._include_pings = include_pings
        self._publisher = publisher
        self._told = Told()
        self._run_id = ""
        self._whole: set[str] = set()
        self._in_pieces: dict[str, DeltaPlace] = {}
        self._progress: dict[_Key, _Progress] = {}
        self._sealed: set[_Key] = set()
        self._call_kinds: dict[tuple[int, int], str] = {}
        self._last_sent_s = 0.0
        self.is_started = False

    @property
    def wants_tokens(self) -> bool:
        """Whether the client asked for pieces."""
        return self._wants_tokens

    def resume(self, events: Sequence[str]) -> None:
        """Go on after these events of another worker."""
        self._told = Told.of(events, in_pieces=self._wants_tokens)
        self._whole |= self._told.whole

    async def opened(self, run_id: str) -> None:
        """Begin the response, or note that the turn is executed again."""
        self._run_id = run_id
        for progress in self._progress.values():
            progress.restart()
        if self.is_started:
            return
        self.is_started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._ping()

    async def keep_alive(self) -> None:
        """Send a ping if nothing was sent for `PING_S`."""
        silent_s = asyncio.get_running_loop().time() - self._last_sent_s
        if self.is_started and silent_s >= PING_S:
            await self._ping()

    async def message(self, message: Message) -> None:
        """Send a whole message, or what is missing of one that was sent in pieces."""
        if message.id in self._whole:
            return
        self._whole.add(message.id)
        place = self._in_pieces.get(message.id)
        if place is not None:
            await self._complete(place, message)
            return
        shown = self._view.show(message)
        if shown is not None:
            await self._event(shown)

    async def delta(self, place: DeltaPlace, delta: LlmDelta) -> None:
        """Send a piece of a reply."""
        if delta.reasoning and self._view.wants("reasoning_message"):
            await self._text_piece(place, "reasoning", delta.reasoning)
        if delta.text and self._view.wants("assistant_message"):
            await self._text_piece(place, "text", delta.text)
        for piece in delta.tool_calls:
            await self._call_piece(place, piece)

    async def finish(self, outcome: Outcome) -> None:
        """End the stream of a finished turn."""
        await self._event(StopReasonEvent(outcome.stop_reason))
        await self._event(usage_event(outcome))
        await self._end()

    async def fail(self, failure: TurnFailed) -> None:
        """End the stream of a turn that failed after its first byte."""
        await self._event(StopReasonEvent(failure.stop_reason))
        error = ErrorMessage(self._run_id, failure.code, failure.message, None, None)
        await self._write(b"event: error\ndata: " + encode(error) + b"\n\n")
        await self._end()

    async def _complete(self, place: DeltaPlace, message: Message) -> None:
        """Send what a replayed reply, which comes without pieces, adds to those sent before."""
        for progress in self._progress_of(message, place.step):
            progress.restart()
        if message.tool_calls:
            for index, call in enumerate(message.tool_calls):
                piece = ToolCallDelta(index, call.tool_call_id, call.name, call.arguments)
                await self._call_piece(place, piece)
        elif isinstance(message.content, str):
            kind = "reasoning" if message.type == "reasoning_message" else "text"
            await self._text_piece(place, kind, message.content)

    def _progress_of(self, message: Message, step: int) -> list[_Progress]:
        kind = _calls_kind(message) if message.tool_calls else "text"
        if message.type == "reasoning_message":
            kind = "reasoning"
        return [value for key, value in self._progress.items() if key[:2] == (kind, step)]

    async def _text_piece(self, place: DeltaPlace, kind: str, text: str) -> None:
        key = (kind, place.step)
        if key in self._sealed:
            return
        new = self._progress_at(place, key).advance(text)
        if new is None:
            self._start_over(place, key)
        elif new:
            await self._piece(self._text_event(place, kind, new), place)

    async def _call_piece(self, place: DeltaPlace, piece: ToolCallDelta) -> None:
        kind = self._kind_of(place, piece)
        calls = (kind, place.step)
        key = (*calls, piece.index)
        if calls in self._sealed or not self._view.wants(_CALL_TYPES[kind]):
            return
        is_first = key not in self._progress and not self._was_told(place, key)
        if is_first and piece.name == self._view.assistant_tool and kind == "calls":
            self._start_over(place, calls)  # shown as an assistant message, whole
            return
        new = self._progress_at(place, key).advance(piece.arguments)
        if new is None:
            self._start_over(place, calls)
        elif new or is_first:
            await self._piece(self._call_event(place, kind, piece, new), place)

    def _progress_at(self, place: DeltaPlace, key: _Key) -> _Progress:
        progress = self._progress.get(key)
        if progress is None:
            progress = self._progress[key] = _Progress()
            told = self._was_told(place, key)
            if told:
                progress.sent.append(told)
                progress.restart()
                self._in_pieces[place.ids.get("message", *key[:2])] = place
        return progress

    def _was_told(self, place: DeltaPlace, key: _Key) -> str:
        """What another worker has sent of this text, or of these arguments."""
        if not (self._told.texts or self._told.calls):
            return ""
        message_id = place.ids.get("message", *key[:2])
        if len(key) == 2:
            return self._told.texts.get(message_id, "")
        calls = self._told.calls.get(message_id, [])
        index = int(key[2])
        return calls[index] if index < len(calls) else ""

    def _kind_of(self, place: DeltaPlace, piece: ToolCallDelta) -> str:
        """Whether a piece belongs to the calls that run, or to those that are asked for."""
        key = (place.step, piece.index)
        if piece.name is not None:
            self._call_kinds[key] = "approvals" if piece.name in place.gated else "calls"
        return self._call_kinds.get(key, "calls")

    def _start_over(self, place: DeltaPlace, key: _Key) -> None:
        """No more pieces of this message; it is sent whole, under a new id."""
        place.ids.replace("message", *key)
        self._sealed.add(key)

    def _text_event(self, place: DeltaPlace, kind: str, text: str) -> ApiMessage:
        if kind == "reasoning":
            return ReasoningMessage(*_common(place, kind, "reasoning_message"), text)
        return TextMessage(*_common(place, kind, "assistant_message"), text)

    def _call_event(
        self, place: DeltaPlace, kind: str, piece: ToolCallDelta, text: str
    ) -> ApiMessage:
        call = ApiToolCall(piece.name, text, piece.tool_call_id)
        return ToolCallMessage(*_common(place, kind, _CALL_TYPES[kind]), call, call)

    async def _piece(self, event: ApiMessage, place: DeltaPlace) -> None:
        self._in_pieces[event.id] = place
        await self._event(event)

    async def _ping(self) -> None:
        if not self._include_pings:
            return
        now = date_text(now_us())
        ping_id = f"ping-{self._uuids.new()}"
        none = (None, None, None, None)
        ping = ApiMessage(ping_id, now, None, "ping", *none, None, self._run_id)
        await self._write(b"data: " + encode(ping) + b"\n\n")

    async def _event(self, event: ApiMessage | StopReasonEvent | UsageEvent) -> None:
        if self._publisher is None or not isinstance(event, ApiMessage):
            await self._write(b"data: " + encode(event) + b"\n\n")
            return
        event.seq_id = self._publisher.next_number
        data = encode(event)
        self._publisher.add(data.decode())
        await self._write(b"data: " + data + b"\n\n")

    async def _write(self, data: bytes) -> None:
        self._last_sent_s = asyncio.get_running_loop().time()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self) -> None:
        await self._send({"type": "http.response.body", "body": _DONE})


def _calls_kind(message: Message) -> str:
    return "approvals" if message.type == "approval_request_message" else "calls"


def _common(place: DeltaPlace, kind: str, message_type: str) -> Common:
    message_id = place.ids.get("message", kind, place.step)
    return (
        message_id,
        date_text(place.date_us),
        None,
        message_type,
        otid_of(message_id),
        None,
        place.step_id,
        None,
        None,
        place.run_id,
    )
