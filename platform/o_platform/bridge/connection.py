"""One connection to the bridge: bytes to frames, exchanges, credit, and nothing of their meaning.

A `Session` is told of requests and cancellations and answers through the connection. Answers to an
exchange that is over, or on a closed connection, are dropped: whoever works for an instance need
not know whether it still listens. While the peer does not read, its requests are not read either.

What is sent while one piece of input is worked through, or in one round of the event loop, is
written together: a write costs more than most answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

import msgspec

from o_contracts.frames import (
    INITIAL_CREDIT,
    MALFORMED,
    MAX_FRAME_BYTES,
    Empty,
    ErrorBody,
    Frame,
    FrameDecoder,
    FrameError,
    Kind,
    encode_frame,
)
from o_platform.errors import OError, TooLargeError, UnavailableError

MAX_OPEN_EXCHANGES: Final = 4096
"""Unanswered requests on one connection; more are refused: a peer must not fill our memory."""
_MAX_CREDIT: Final = 1 << 20

_credits = msgspec.msgpack.Decoder(int)
_EMPTY: Final = Empty()


class Session(Protocol):
    """The meaning of one connection's frames."""

    def request(self, op: str, exchange: int, body: msgspec.Raw) -> None:
        """A request arrived; raises FrameError or one of MALFORMED when it is malformed."""
        ...

    def cancelled(self, exchange: int) -> None:
        """The peer no longer wants an answer."""
        ...

    def malformed(self, reason: str) -> None:
        """The peer broke the protocol; the connection is being closed."""
        ...

    def closed(self) -> None:
        """The connection is gone."""
        ...


class Stream:
    """The sending side of a streaming exchange; waits for credit before each chunk."""

    __slots__ = ("_connection", "_credit", "_exchange", "_op", "_wake")

    def __init__(self, connection: Connection, exchange: int, op: str) -> None:
        """Made by `Connection.stream`."""
        self._connection = connection
        self._exchange = exchange
        self._op = op
        self._credit = INITIAL_CREDIT
        self._wake: asyncio.Future[None] | None = None

    async def send(self, body: object) -> None:
        """Send a chunk once there is credit; returns at once when nobody listens any more."""
        while self._credit <= 0 and self._connection.awaits(self._exchange):
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        self._credit -= 1
        self._connection.chunk(self._exchange, self._op, body)

    def grant(self, chunks: int) -> None:
        """Allow this many further chunks; 0 only wakes the sender, to see that nobody listens."""
        self._credit += chunks
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Connection(asyncio.Protocol):
    """Frames in, frames out."""

    def __init__(self, make_session: Callable[[Connection], Session]) -> None:
        """`make_session` gives the meaning to this connection."""
        self._decoder = FrameDecoder()
        self._session = make_session(self)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._is_receiving = False
        self._unsent: list[bytes] = []
        self._open: set[int] = set()
        self._streams: dict[int, Stream] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._transport = None
        self._open.clear()
        for stream in self._streams.values():
            stream.grant(0)
        self._streams.clear()
        self._session.closed()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._is_receiving = True
        try:
            for frame in self._decoder.feed(data):
                self._receive(frame)
        except (FrameError, *MALFORMED) as error:
            self._session.malformed(str(error))
            self.abort()
        finally:
            self._is_receiving = False
            if self._unsent:
                self._flush()

    def pause_writing(self) -> None:
        """Called by the event loop: the peer does not read."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Called by the event loop: the peer reads again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def awaits(self, exchange: int) -> bool:
        """Whether the peer still waits for this exchange's answer."""
        return exchange in self._open

    def reply(self, exchange: int, op: str, body: object = _EMPTY) -> None:
        """Answer a request; with an error when the answer does not fit into a frame."""
        if not self.try_reply(exchange, op, body):
            self.fail(exchange, op, _too_large(op))

    def try_reply(self, exchange: int, op: str, body: object) -> bool:
        """Answer a request; False when the answer does not fit into a frame (nothing is sent)."""
        if exchange in self._open:
            try:
                self._send(Kind.REPLY, exchange, op, body)
            except FrameError:
                return False
            self._open.discard(exchange)
        return True

    def end(self, exchange: int, op: str, body: object) -> None:
        """End a streaming exchange with its final result."""
        if exchange in self._open:
            try:
                self._send(Kind.END, exchange, op, body)
            except FrameError:
                self.fail(exchange, op, _too_large(op))
            self._close_exchange(exchange)

    def fail(self, exchange: int, op: str, error: OError) -> None:
        """Answer a request with an error."""
        if exchange in self._open:
            self._send(Kind.ERROR, exchange, op, error_body(error))
            self._close_exchange(exchange)

    def stream(self, exchange: int, op: str) -> Stream:
        """The way to send chunks to a request before `end`."""
        stream = Stream(self, exchange, op)
        if exchange in self._open:
            self._streams[exchange] = stream
        return stream

    def chunk(self, exchange: int, op: str, body: object) -> None:
        """Send a piece of a streaming answer; see `Stream`, which respects credit.

        Raises:
            FrameError: it does not fit into a frame.
        """
        if exchange in self._open:
            self._send(Kind.CHUNK, exchange, op, body)

    def close(self) -> None:
        """Close once everything was written."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def _receive(self, frame: Frame) -> None:
        kind, exchange, op, body = frame
        if kind == Kind.REQUEST:
            self._request(exchange, op, body)
        elif kind == Kind.CREDIT:
            self._grant(exchange, _credits.decode(body))
        elif kind == Kind.CANCEL:
            if exchange in self._open:
                self._close_exchange(exchange)
                self._session.cancelled(exchange)
        else:
            raise FrameError(f"a frame of kind {kind} is not for the side that answers")

    def _request(self, exchange: int, op: str, body: msgspec.Raw) -> None:
        if exchange <= 0 or exchange in self._open:
            raise FrameError(f"exchange id {exchange} is not positive, or in use")
        self._open.add(exchange)
        if len(self._open) > MAX_OPEN_EXCHANGES:
            too_many = f"more than {MAX_OPEN_EXCHANGES} unanswered requests on one connection"
            self.fail(exchange, op, UnavailableError(too_many))
            return
        self._session.request(op, exchange, body)

    def _grant(self, exchange: int, chunks: int) -> None:
        if not 0 < chunks <= _MAX_CREDIT:
            raise FrameError(f"credit of {chunks} chunks is not between 1 and {_MAX_CREDIT}")
        stream = self._streams.get(exchange)
        if stream is not None:
            stream.grant(chunks)

    def _send(self, kind: Kind, exchange: int, op: str, body: object) -> None:
        if self._transport is None:
            return
        unsent = self._unsent
        unsent.append(encode_frame(kind, exchange, op, body))
        if len(unsent) == 1 and not self._is_receiving:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and unsent:
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _close_exchange(self, exchange: int) -> None:
        self._open.discard(exchange)
        stream = self._streams.pop(exchange, None)
        if stream is not None:
            stream.grant(0)


def error_body(error: OError) -> ErrorBody:
    """The error as it goes over the wire."""
    return ErrorBody(error.code, error.message, error.status, error.detail, error.retryable)


def _too_large(op: str) -> TooLargeError:
    """The answer to `op` does not fit into a frame."""
    return TooLargeError(f"the answer to {op} is larger than {MAX_FRAME_BYTES} bytes")
