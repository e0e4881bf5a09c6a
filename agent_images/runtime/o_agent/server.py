"""The HTTP surface of an instance: turns and `/healthz`, raw ASGI.

`POST /v1/agents/{id}/messages` answers JSON, or a stream when the body says `streaming` (clients of
the SDK before 1.0 excepted); `…/messages/stream` always streams, and
`/v1/conversations/{id}/messages` does unless the body says no. A stream begins when the turn has
been opened, so that an unknown agent is a plain 404 there, too. `GET …/context`, `POST …/recompile`
and `…/summarize` (`…/compact` of a conversation) are about the window that turns have. Errors are
`{"detail": sentence, "code": …}`, refused input is 422 with a list (see `validation`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, NamedTuple

from o_agent.api_messages import Outcome, ReplyView, encode, turn_response
from o_agent.approvals import answers_in
from o_agent.bridge_client import BridgeClient, BridgeError, ConnectionLost
from o_agent.message_ids import TurnIds, UuidSource
from o_agent.overview import Overview
from o_agent.published import Publisher
from o_agent.streaming import PING_S, EventStream, Send
from o_agent.turn import TurnRunner
from o_agent.turn_failure import TurnFailed, failure
from o_agent.turn_input import TurnInput
from o_agent.validation import InvalidRequest, NotOffered, parse_compaction, parse_turn
from o_contracts.bridge import PENDING_APPROVAL
from o_contracts.ids import UUID_PATTERN
from o_contracts.turns import TurnRequest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Scope = MutableMapping[str, Any]
Headers = dict[bytes, bytes]

WATCH_AFTER_S: Final = 0.5
"""A plain turn that takes longer than this is watched for a client that goes away."""
_AGENTS: Final = "/v1/agents/"
_CONVERSATIONS: Final = "/v1/conversations/"
_PLAIN: Final = "/messages"
_TURNS: Final = frozenset({"messages", "stream"})
_log = logging.getLogger("o_agent.server")


class _Thread(NamedTuple):
    """What a turn's path names: the pattern of its id, and the parameter it is."""

    parameter: str
    pattern: str
    is_id: Callable[[str], object]
    others: tuple[tuple[str, str], ...]
    """Ends of paths besides that of a plain turn, and what each asks for."""


def _thread(parameter: str, prefix: str, **others: str) -> _Thread:
    pattern = rf"{prefix}-{UUID_PATTERN}"
    ends = tuple((end, action) for action, end in others.items())
    return _Thread(parameter, f"^{pattern}$", re.compile(pattern).fullmatch, ends)


_THREADS: Final = {
    _AGENTS: _thread(
        "agent_id",
        "agent",
        stream="/messages/stream",
        compact="/summarize",
        context="/context",
        recompile="/recompile",
    ),
    _CONVERSATIONS: _thread("conversation_id", "conv", compact="/compact", recompile="/recompile"),
}


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = encode({"detail": message, "code": code})


class _ClientGone(Exception):
    """Nobody waits for the answer any more."""


class TurnApp:
    """The ASGI application of a worker."""

    def __init__(self, client: BridgeClient, runner: TurnRunner, overview: Overview) -> None:
        """`runner` executes the turns; `client` says whether the bridge is there."""
        self._client = client
        self._runner = runner
        self._overview = overview
        self._uuids = UuidSource()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._answer(scope, receive, send)
        except InvalidRequest as refusal:
            await _respond(send, 422, encode({"detail": refusal.problems}))
        except NotOffered as refusal:
            body = encode({"detail": str(refusal), "code": "not_offered"})
            await _respond(send, 501, body, [(b"x-should-retry", b"false")])
        except _Refused as refusal:
            await _respond(send, refusal.status, refusal.body)
        except TurnFailed as failure:
            await _respond_failure(send, failure)
        except _ClientGone:
            _log.info("the client went away: %s", scope["path"])

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/healthz":
            await self._answer_health(send)
            return
        prefix, thread_id, action = _route(path)
        if scope["method"] != ("GET" if action == "context" else "POST"):
            raise _Refused(405, "method_not_allowed", f"{path} does not take {scope['method']}")
        if not _THREADS[prefix].is_id(thread_id):
            raise _malformed_id(_THREADS[prefix])
        headers: Headers = dict(scope["headers"])
        scope["headers"].clear()
        body = await _read_body(headers, receive, self._client.max_request_bytes)
        if action not in _TURNS:
            await self._answer_about(action, thread_id, headers, body, send)
            return
        request = parse_turn(body)
        if prefix == _CONVERSATIONS and request.streaming is None:
            request.streaming = True  # as the API has it, on this path alone
        turn = self._turn(thread_id, request, headers, body)
        streams = action == "stream" or (request.streaming and _sdk_streams(headers))
        if streams and request.background:
            turn.background = body.decode()
            turn.publisher = Publisher(self._client)
        # A turn may take minutes, and thousands may be under way.
        del headers, body
        if streams:
            await self._answer_stream(turn, receive, send)
        else:
            outcome = await self._watched(turn, receive, None, WATCH_AFTER_S)
            await _respond(send, 200, turn_response(outcome, ReplyView.of(request)))

    async def _answer_about(
        self, action: str, thread_id: str, headers: Headers, body: bytes, send: Send
    ) -> None:
        """Answer what concerns a context window and is no turn."""
        if action == "compact":
            request = parse_compaction(body)
            turn = self._turn(thread_id, TurnRequest(input=""), headers, body)
            done = await self._runner.compact(turn, request.compaction_settings)
            await _respond(send, 200, encode(done._asdict()))
            return
        try:
            if action == "context":
                answer: object = await self._overview.window(thread_id)
            else:
                answer = await self._overview.prompt(thread_id)
        except (ConnectionLost, BridgeError) as error:
            raise failure(error) from error
        await _respond(send, 200, encode(answer))

    async def _answer_health(self, send: Send) -> None:
        if self._client.connected:
            await _respond(send, 200, b'{"status":"ok"}')
        else:
            raise _Refused(503, "not_ready", "this worker has no connection to the bridge")

    async def _answer_stream(self, turn: TurnInput, receive: Receive, send: Send) -> None:
        request = turn.request
        stream = EventStream(
            send,
            ReplyView.of(request),
            self._uuids,
            wants_tokens=bool(request.stream_tokens),
            include_pings=request.include_pings is not False,
            publisher=turn.publisher,
        )
        turn.sink = stream
        try:
            outcome = await self._watched(turn, receive, stream, 0.0)
        except TurnFailed as failure:
            if not stream.is_started:
                raise
            await stream.fail(failure)
            return
        await stream.finish(outcome)

    def _turn(
        self, thread_id: str, request: TurnRequest, headers: Headers, body: bytes
    ) -> TurnInput:
        request_id = headers.get(b"x-request-id")
        return TurnInput(
            thread_id,
            request,
            self._uuids.new() if request_id is None else request_id.decode("latin-1"),
            hashlib.sha256(body).hexdigest(),
            TurnIds(self._uuids),
            headers.get(b"x-o-client", b"").decode("latin-1"),
            _count(headers.get(b"x-envoy-attempt-count"), 1),
            _count(headers.get(b"x-stainless-retry-count"), 0),
            answers=answers_in(request.messages) if request.messages else None,
        )

    async def _watched(
        self, turn: TurnInput, receive: Receive, stream: EventStream | None, after_s: float
    ) -> Outcome:
        """Run a turn, but not for a client that has gone (unless it runs in the background)."""
        watch = _Watch(turn, receive, stream)
        timer = asyncio.get_running_loop().call_later(after_s, watch.start)
        try:
            return await self._runner.run(turn)
        except asyncio.CancelledError:
            if watch.client_gone and watch.task.uncancel() == 0:
                raise _ClientGone from None
            raise
        except TurnFailed:
            raise
        except Exception as error:
            _log.exception("a turn failed", extra={"request_id": turn.request_id})
            sentence = f"internal error in request {turn.request_id}; see the instance's log"
            raise TurnFailed(500, "internal", sentence) from error
        finally:
            timer.cancel()
            watch.stop()


class _Watch:
    """Waits for the client to go away, and keeps a silent stream alive."""

    __slots__ = ("_receive", "_stream", "_turn", "_watching", "client_gone", "task")

    def __init__(self, turn: TurnInput, receive: Receive, stream: EventStream | None) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a turn runs in a task")
        self.task: asyncio.Task[Any] = task
        self.client_gone = False
        self._turn = turn
        self._receive = receive
        self._stream = stream
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _run(self) -> None:
        while not await self._is_disconnected():
            if self._stream is not None:
                await self._stream.keep_alive()
        if self._turn.request.background:
            return
        self._turn.is_unwanted = True
        if self._turn.is_interruptible:
            self.client_gone = True
            self.task.cancel()

    async def _is_disconnected(self) -> bool:
        try:
            async with asyncio.timeout(PING_S):
                message = await self._receive()
        except TimeoutError:
            return False
        return bool(message["type"] == "http.disconnect")


def _route(path: str) -> tuple[str, str, str]:
    """A path's beginning, the id in it, and what is asked for."""
    for prefix, thread in _THREADS.items():
        if not path.startswith(prefix):
            continue
        if path.endswith(_PLAIN):
            return prefix, path[len(prefix) : -len(_PLAIN)], "messages"
        for end, action in thread.others:
            if path.endswith(end):
                return prefix, path[len(prefix) : -len(end)], action
    raise _Refused(404, "not_found", f"there is nothing at {path}")


def _malformed_id(thread: _Thread) -> InvalidRequest:
    message = f"String should match pattern '{thread.pattern}'"
    return InvalidRequest(["path", thread.parameter], message, "string_pattern_mismatch")


async def _read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    if _count(headers.get(b"content-length"), 0) > limit:
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
    if message["type"] == "http.disconnect":
        raise _ClientGone
    return body


def _too_large(limit: int) -> _Refused:
    return _Refused(413, "too_large", f"the body is larger than {limit} bytes")


def _count(value: bytes | None, default: int) -> int:
    return int(value) if value is not None and value.isdigit() else default


def _sdk_streams(headers: Headers) -> bool:
    """Whether the client understands a stream on the plain path (the SDK does since 1.0)."""
    return not headers.get(b"x-stainless-package-version", b"1").startswith(b"0.")


async def _respond_failure(send: Send, failure: TurnFailed) -> None:
    if failure.code != PENDING_APPROVAL:
        body = encode({"detail": failure.message, "code": failure.code})
        await _respond(send, failure.status, body)
        return
    detail = {"code": failure.code, "message": failure.message, **failure.detail}
    # Without the header the SDK repeats whatever is 409.
    extra = [(b"x-should-retry", b"false")]
    await _respond(send, failure.status, encode({"detail": detail, "code": failure.code}), extra)


async def _respond(
    send: Send, status: int, body: bytes, extra: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *extra,
    ]
    if status == 413:
        headers.append((b"connection", b"close"))
    elif status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
