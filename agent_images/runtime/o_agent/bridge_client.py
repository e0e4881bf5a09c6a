"""The worker's connection to the bridge: many exchanges at once over one Unix socket.

`BridgeClient.run` keeps a connection open for as long as the worker lives. When it breaks, every
open exchange fails with `ConnectionLost` at once and a new connection is tried every 1 to 50 ms;
what to do about the lost exchanges is the caller's decision (a turn is run again).

Instead of a timer per exchange, one sweep per second fails those that are older than the limit of
their operation: an exchange costs a future and a dictionary entry, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

import msgspec

from o_agent.coalesced import CoalescedTransport
from o_contracts import bridge
from o_contracts.frames import (
    INITIAL_CREDIT,
    PROTOCOL_VERSIONS,
    Empty,
    ErrorBody,
    Frame,
    FrameDecoder,
    FrameError,
    Kind,
    encode_frame,
)
from o_contracts.turns import MAX_BODY_BYTES

R = TypeVar("R")
C = TypeVar("C")

FIRST_BACKOFF_S: Final = 0.001
LAST_BACKOFF_S: Final = 0.01
"""Short, as everybody waits, and asking a socket on which nobody listens costs next to nothing."""
HELLO_LIMIT_S: Final = 5.0
SWEEP_S: Final = 1.0
LIMITS_S: Final = {
    bridge.HELLO: HELLO_LIMIT_S,
    bridge.TURN_OPEN: 90.0,
    bridge.LLM_COMPLETE: 900.0,
    bridge.TOOL_CALL: 300.0,
    bridge.TURN_COMMIT: 30.0,
    bridge.TURN_ABANDON: 30.0,
    bridge.TURN_WATCH: 900.0,
}
_DEFAULT_LIMIT_S: Final = 60.0
_CREDIT_STEP: Final = INITIAL_CREDIT // 2

_log = logging.getLogger("o_agent.bridge")
_error_decoder = msgspec.msgpack.Decoder(ErrorBody)
_welcome_decoder = msgspec.msgpack.Decoder(bridge.Welcome)


class ConnectionLost(Exception):
    """The bridge went away before it answered; nothing is known about what it did."""


class BridgeError(Exception):
    """The bridge answered with an error."""

    def __init__(self, op: str, body: ErrorBody) -> None:
        """`body` is what it sent in answer to `op`."""
        super().__init__(body.message)
        self.op = op
        self.body = body


class _Stream:
    """A streaming exchange: chunks that wait for their reader, then a result or an error."""

    __slots__ = ("chunks", "error", "result", "wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.chunks: list[msgspec.Raw] = []
        self.result: msgspec.Raw | None = None
        self.error: Exception | None = None
        self.wake: asyncio.Future[None] = loop.create_future()

    def notify(self) -> None:
        if not self.wake.done():
            self.wake.set_result(None)


class _Exchange:
    __slots__ = ("deadline", "id", "op", "sink")

    def __init__(
        self, number: int, op: str, deadline: float, sink: asyncio.Future[msgspec.Raw] | _Stream
    ) -> None:
        self.id = number
        self.op = op
        self.deadline = deadline
        self.sink = sink

    def fail(self, error: Exception) -> None:
        sink = self.sink
        if isinstance(sink, _Stream):
            sink.error = error
            sink.notify()
        elif not sink.done():
            sink.set_exception(error)

    def finish(self, body: msgspec.Raw) -> None:
        sink = self.sink
        if isinstance(sink, _Stream):
            sink.result = body
            sink.notify()
        elif not sink.done():
            sink.set_result(body)


class _Connection(asyncio.Protocol):
    """One connection: writes requests, hands what arrives to its exchange."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._decoder = FrameDecoder()
        self._exchanges: dict[int, _Exchange] = {}
        self._next_id = 0
        self._transport: CoalescedTransport | None = None
        self.lost: asyncio.Future[None] = loop.create_future()
        self.lost_callback: Callable[[], None] = _nothing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = CoalescedTransport(cast(asyncio.Transport, transport), self._loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost_callback()
        for exchange in self._exchanges.values():
            exchange.fail(ConnectionLost("the connection to the bridge was lost"))
        self._exchanges.clear()
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                self._receive(frame)
        except (FrameError, msgspec.MsgspecError) as error:
            _log.error("the bridge sent a malformed frame: %s", error)
            self.close()

    def start(
        self, op: str, body: object, sink: asyncio.Future[msgspec.Raw] | _Stream
    ) -> _Exchange:
        """Send a request; its answer goes to `sink`."""
        if self._transport is None:
            raise ConnectionLost("the connection to the bridge was lost")
        self._next_id = number = self._next_id + 1
        try:
            data = encode_frame(Kind.REQUEST, number, op, body)
        except FrameError as error:
            raise BridgeError(op, ErrorBody("too_large", str(error), 413)) from error
        deadline = self._loop.time() + LIMITS_S.get(op, _DEFAULT_LIMIT_S)
        exchange = self._exchanges[number] = _Exchange(number, op, deadline, sink)
        self._transport.write(data)
        return exchange

    def cancel(self, exchange: _Exchange) -> None:
        """Give up an exchange; a late answer is dropped."""
        if self._exchanges.pop(exchange.id, None) and self._transport:
            self._transport.write(encode_frame(Kind.CANCEL, exchange.id, exchange.op, Empty()))

    def grant(self, exchange: _Exchange, chunks: int) -> None:
        """Let the producer of a stream send `chunks` more."""
        if self._transport and exchange.id in self._exchanges:
            self._transport.write(encode_frame(Kind.CREDIT, exchange.id, exchange.op, chunks))

    def sweep(self) -> None:
        """Fail the exchanges that are past their deadline."""
        now = self._loop.time()
        late = [exchange for exchange in self._exchanges.values() if exchange.deadline < now]
        for exchange in late:
            self.cancel(exchange)
            limit = LIMITS_S.get(exchange.op, _DEFAULT_LIMIT_S)
            message = f"the platform did not answer {exchange.op!r} within {limit:g} s"
            body = ErrorBody("bridge_timeout", message, 504)
            exchange.fail(BridgeError(exchange.op, body))

    def close(self) -> None:
        """Close the connection; open exchanges fail."""
        if self._transport:
            self._transport.abort()

    def _receive(self, frame: Frame) -> None:
        exchange = self._exchanges.get(frame.id)
        if exchange is None:
            return
        kind = frame.kind
        if kind == Kind.CHUNK and isinstance(exchange.sink, _Stream):
            exchange.sink.chunks.append(frame.body)
            exchange.sink.notify()
            return
        if kind == Kind.REPLY or kind == Kind.END:
            exchange.finish(frame.body)
        elif kind == Kind.ERROR:
            exchange.fail(BridgeError(exchange.op, _error_decoder.decode(frame.body)))
        else:
            raise FrameError(f"frame of kind {kind} for {exchange.op!r}")
        del self._exchanges[frame.id]


class BridgeClient:
    """The bridge as a worker sees it."""

    def __init__(self, path: str, variant: str) -> None:
        """`path` is the bridge's socket; `variant` is told to the bridge for its logs."""
        self._path = path
        self._variant = variant
        self._connection: _Connection | None = None
        self._is_connected = asyncio.Event()
        self._refusal = ""
        self.max_request_bytes = MAX_BODY_BYTES
        """Largest body of a turn; the bridge's word for it once it has spoken."""

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._connection is not None

    async def run(self) -> None:
        """Keep a connection open until cancelled."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            connection = await self._connect()
            if connection is None:
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)
                continue
            backoff_s = FIRST_BACKOFF_S
            await self._hold(connection)

    async def wait_connected(self, timeout_s: float) -> None:
        """Return once there is a connection.

        Raises:
            ConnectionLost: there was none within `timeout_s`.
        """
        if self._connection is not None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_connected.wait()
        except TimeoutError:
            raise ConnectionLost(f"no connection to the bridge for {timeout_s:g} s") from None

    async def ask(self, op: str, body: object, decoder: msgspec.msgpack.Decoder[R]) -> R:
        """One request, one reply.

        Raises:
            ConnectionLost: no connection, or it broke before the reply.
            BridgeError: the bridge answered with an error, or not in time.
        """
        connection = self._connection
        if connection is None:
            raise ConnectionLost("not connected to the bridge")
        asked = self._ask(connection, op, body, decoder)
        del body  # see `_ask`
        return await asked

    async def stream(
        self,
        op: str,
        body: object,
        chunk_decoder: msgspec.msgpack.Decoder[C],
        on_chunk: Callable[[C], Awaitable[None]],
        result_decoder: msgspec.msgpack.Decoder[R],
    ) -> R:
        """One request, chunks for `on_chunk`, then the result.

        The producer is let on only as fast as `on_chunk` returns.

        Raises:
            ConnectionLost: no connection, or it broke before the end.
            BridgeError: the bridge answered with an error, or not in time.
        """
        connection = self._connection
        if connection is None:
            raise ConnectionLost("not connected to the bridge")
        stream = _Stream(asyncio.get_running_loop())
        exchange = connection.start(op, body, stream)
        del body  # which is sent, while the answer may take minutes
        try:
            return result_decoder.decode(
                await _consume(connection, exchange, stream, chunk_decoder, on_chunk)
            )
        except msgspec.MsgspecError as error:
            raise _misunderstood(op, error) from error
        finally:
            connection.cancel(exchange)

    def tell(self, op: str, body: object) -> None:
        """A request whose reply nobody waits for; lost without a sound when not connected."""
        if self._connection is None:
            return
        reply: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(_note_failure)
        self._connection.start(op, body, reply)

    async def _ask(
        self, connection: _Connection, op: str, body: object, decoder: msgspec.msgpack.Decoder[R]
    ) -> R:
        reply: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        exchange = connection.start(op, body, reply)
        del body  # which is sent, while the answer may take minutes
        try:
            return decoder.decode(await reply)
        except asyncio.CancelledError:
            connection.cancel(exchange)
            raise
        except msgspec.MsgspecError as error:
            raise _misunderstood(op, error) from error

    async def _connect(self) -> _Connection | None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_unix_connection(lambda: _Connection(loop), self._path)
        except OSError:
            return None
        return connection if await self._greet(connection) else None

    async def _greet(self, connection: _Connection) -> bool:
        hello = bridge.Hello(list(PROTOCOL_VERSIONS), self._variant, os.getpid())
        try:
            async with asyncio.timeout(HELLO_LIMIT_S):
                welcome = await self._ask(connection, bridge.HELLO, hello, _welcome_decoder)
        except (TimeoutError, ConnectionLost, BridgeError) as error:
            self._note_refusal(f"{type(error).__name__}: {error}")
            connection.close()
            return False
        self._refusal = ""
        self.max_request_bytes = welcome.max_request_bytes
        return True

    def _note_refusal(self, refusal: str) -> None:
        if refusal != self._refusal:  # tried 20 times a second, said once
            _log.error("the bridge refused this instance: %s", refusal)
        self._refusal = refusal

    async def _hold(self, connection: _Connection) -> None:
        self._connection = connection
        self._is_connected.set()
        # At once, not when this task runs next: a turn that starts again must find it gone.
        connection.lost_callback = self._forget
        try:
            while not connection.lost.done():
                await asyncio.wait([connection.lost], timeout=SWEEP_S)
                connection.sweep()
        finally:
            self._forget()
            connection.close()

    def _forget(self) -> None:
        self._connection = None
        self._is_connected.clear()


async def _consume(
    connection: _Connection,
    exchange: _Exchange,
    stream: _Stream,
    chunk_decoder: msgspec.msgpack.Decoder[C],
    on_chunk: Callable[[C], Awaitable[None]],
) -> msgspec.Raw:
    taken = 0
    while True:
        while stream.chunks:
            chunks, stream.chunks = stream.chunks, []
            for chunk in chunks:
                await on_chunk(chunk_decoder.decode(chunk))
                taken += 1
                if taken % _CREDIT_STEP == 0:
                    connection.grant(exchange, _CREDIT_STEP)
        if stream.error is not None:
            raise stream.error
        if stream.result is not None:
            return stream.result
        stream.wake = asyncio.get_running_loop().create_future()
        await stream.wake


def _nothing() -> None:
    """The connection is not in use yet."""


def _misunderstood(op: str, error: msgspec.MsgspecError) -> BridgeError:
    message = f"the platform's answer to {op!r} was not understood: {error}"
    return BridgeError(op, ErrorBody("bridge_protocol", message, 502))


def _note_failure(reply: asyncio.Future[Any]) -> None:
    if not reply.cancelled() and reply.exception() is not None:
        _log.warning("the bridge did not take a message: %s", reply.exception())
