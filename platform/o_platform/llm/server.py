"""A frame server on a Unix socket: exchanges side by side, credit, cancel.

Each connection starts with `hello`. Every further request runs as a task of its own; a `CANCEL`
ends it with an error of code `cancelled`. A producer that has spent its credit waits until its
reader grants more, which holds back nobody else. Whatever is malformed closes the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from o_contracts.bridge import HELLO, Hello
from o_contracts.frames import (
    INITIAL_CREDIT,
    PROTOCOL_VERSIONS,
    ErrorBody,
    Frame,
    FrameDecoder,
    FrameError,
    Kind,
    decode_body,
    encode_frame,
)
from o_contracts.llm import GatewayWelcome
from o_platform.errors import OError
from o_platform.llm.failures import CANCELLED, error_body

READ_BYTES: Final = 64 * 1024
_log = logging.getLogger(__name__)

Handler = Callable[["Exchange"], Awaitable[object]]
"""Answers an exchange: emits chunks, returns the final body, or raises an `OError`."""


class Exchange:
    """One request and the sending of its answer."""

    def __init__(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        """`frame` is the request."""
        self.frame = frame
        self.streaming = False
        """Whether the answer ends with `END`; the handler sets it before it returns."""
        self.cancelled = False
        """Whether the asker has sent `CANCEL`."""
        self._writer = writer
        self._credit = INITIAL_CREDIT
        self._granted = asyncio.Event()

    async def emit(self, chunk: object) -> None:
        """Send a chunk, after waiting for credit."""
        while self._credit <= 0:
            self._granted.clear()
            await self._granted.wait()
        self._credit -= 1
        await self.send(Kind.CHUNK, chunk)

    def grant(self, chunks: int) -> None:
        """The reader takes so many more chunks."""
        self._credit += chunks
        self._granted.set()

    async def send(self, kind: Kind, body: object) -> None:
        """Send a frame of this exchange."""
        self._writer.write(encode_frame(kind, self.frame.id, self.frame.op, body))
        await self._writer.drain()


class FrameServer:
    """Serves one handler to every connection of a listening socket."""

    def __init__(self, handler: Handler, *, longest_silence_s: float = 240.0) -> None:
        """`handler` is run once per exchange, as a task; see `GatewayWelcome` for the other."""
        self._handler = handler
        self._longest_silence_s = longest_silence_s

    async def serve(self, listener: socket.socket) -> None:
        """Serve until cancelled; then close every connection."""
        async with asyncio.TaskGroup() as connections:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connections.create_task(self._connection(reader, writer))

            server = await asyncio.start_unix_server(accept, sock=listener)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running: dict[int, tuple[Exchange, asyncio.Task[None]]] = {}
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self._read(reader, writer, running, tasks)
                finally:
                    for _, task in running.values():
                        task.cancel()
        except* FrameError as group:
            _log.warning("closed a connection: %s", group.exceptions[0])
        except* ConnectionError:
            _log.debug("a client went away")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _read(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        running: dict[int, tuple[Exchange, asyncio.Task[None]]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        decoder = FrameDecoder()
        greeted = False
        while data := await reader.read(READ_BYTES):
            for frame in decoder.feed(data):
                if not greeted:
                    await self._greet(Exchange(frame, writer))
                    greeted = True
                elif frame.kind == Kind.REQUEST:
                    self._begin(Exchange(frame, writer), running, tasks)
                elif frame.id in running:
                    _control(frame, *running[frame.id])

    async def _greet(self, exchange: Exchange) -> None:
        if exchange.frame.kind != Kind.REQUEST or exchange.frame.op != HELLO:
            raise FrameError(f"expected hello, got {exchange.frame.op!r}")
        hello = decode_body(exchange.frame, Hello)
        common = set(hello.versions) & set(PROTOCOL_VERSIONS)
        if not common:
            raise FrameError(f"speaks versions {hello.versions}, not {list(PROTOCOL_VERSIONS)}")
        welcome = GatewayWelcome(max(common), os.getpid(), self._longest_silence_s)
        await exchange.send(Kind.REPLY, welcome)

    def _begin(
        self,
        exchange: Exchange,
        running: dict[int, tuple[Exchange, asyncio.Task[None]]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        number = exchange.frame.id
        if number in running:
            raise FrameError(f"exchange {number} is still open")
        task = tasks.create_task(self._answer(exchange))
        running[number] = (exchange, task)
        task.add_done_callback(lambda _: running.pop(number, None))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            body = await self._handler(exchange)
            kind = Kind.END if exchange.streaming else Kind.REPLY
        except asyncio.CancelledError:
            if not exchange.cancelled:
                raise
            kind, body = Kind.ERROR, ErrorBody(CANCELLED, "cancelled by the asker", status=499)
        except OError as error:
            kind, body = Kind.ERROR, error_body(error)
        except ConnectionError:
            return
        except FrameError:
            raise
        except Exception:  # noqa: BLE001 - the edge of a task: logged, and the asker is told
            kind, body = Kind.ERROR, _unexpected(exchange.frame.op)
        await exchange.send(kind, body)


def listening_socket(path: str) -> socket.socket:
    """The socket handed over by a supervisor (fd 3, `LISTEN_FDS`), else a new one at `path`.

    A new one can be used by this user alone; a socket file left behind is replaced.
    """
    if _is_activated():
        return socket.socket(fileno=3)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def _is_activated() -> bool:
    fds = os.environ.pop("LISTEN_FDS", "0")
    pid = os.environ.pop("LISTEN_PID", None)
    return int(fds) >= 1 and (pid is None or int(pid) == os.getpid())


def _control(frame: Frame, exchange: Exchange, task: asyncio.Task[None]) -> None:
    if frame.kind == Kind.CANCEL:
        exchange.cancelled = True
        task.cancel()
    elif frame.kind == Kind.CREDIT:
        exchange.grant(decode_body(frame, int))
    else:
        raise FrameError(f"unexpected frame of kind {frame.kind}")


def _unexpected(op: str) -> ErrorBody:
    number = uuid.uuid4().hex[:12]
    _log.exception("an exchange failed", extra={"op": op, "error_id": number})
    return ErrorBody(
        code="llm_error",
        message=f"the LLM gateway failed (error {number}); see `o logs llm`",
        status=502,
        detail={"error_id": number},
        retryable=True,
    )
