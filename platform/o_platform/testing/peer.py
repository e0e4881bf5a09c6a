"""A peer that speaks frames: what an instance's worker, or a broken one, sends to the bridge."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import TypeVar

from o_contracts.bridge import HELLO, Hello
from o_contracts.frames import (
    PROTOCOL_VERSIONS,
    Empty,
    ErrorBody,
    Frame,
    FrameDecoder,
    Kind,
    decode_body,
    encode_frame,
)

T = TypeVar("T")
_READ_BYTES = 256 * 1024


class RefusedError(Exception):
    """The answer was an error frame."""

    def __init__(self, body: ErrorBody) -> None:
        """`body` is what the frame held."""
        super().__init__(f"{body.status} {body.code}: {body.message}")
        self.body = body


class Peer:
    """One connection; exchanges may overlap. Use `connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads from now on."""
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._frames: dict[int, asyncio.Queue[Frame]] = {}
        self.lost = asyncio.Event()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def connect(cls, path: Path, *, hello: bool = True) -> Peer:
        """A connection to the socket, past `hello` unless told otherwise."""
        peer = cls(*await asyncio.open_unix_connection(str(path)))
        if hello:
            await peer.ask(HELLO, Hello(list(PROTOCOL_VERSIONS), "", os.getpid()), dict)
        return peer

    def start(self, op: str, body: object) -> int:
        """Send a request; returns its exchange."""
        exchange = next(self._ids)
        self._frames[exchange] = asyncio.Queue()
        self.send(Kind.REQUEST, exchange, op, body)
        return exchange

    def send(self, kind: Kind, exchange: int, op: str, body: object) -> None:
        """Send one frame."""
        self.send_raw(encode_frame(kind, exchange, op, body))

    def send_raw(self, data: bytes) -> None:
        """Send bytes, frames or not."""
        self._writer.write(data)

    async def frame(self, exchange: int, timeout_s: float = 10.0) -> Frame:
        """The exchange's next frame.

        Raises:
            ConnectionResetError: the connection is gone.
            TimeoutError: nothing came.
        """
        async with asyncio.timeout(timeout_s):
            frame = await self._frames[exchange].get()
        if frame.op == "":
            raise ConnectionResetError("the bridge closed the connection")
        return frame

    async def answer(self, exchange: int, shape: type[T], timeout_s: float = 10.0) -> T:
        """The reply of an exchange.

        Raises:
            RefusedError: it is an error.
        """
        frame = await self.frame(exchange, timeout_s)
        if frame.kind == Kind.ERROR:
            raise RefusedError(decode_body(frame, ErrorBody))
        return decode_body(frame, shape)

    async def ask(self, op: str, body: object, shape: type[T], timeout_s: float = 10.0) -> T:
        """Send a request and wait for its reply.

        Raises:
            RefusedError: it is an error.
        """
        return await self.answer(self.start(op, body), shape, timeout_s)

    def is_waiting(self, exchange: int) -> bool:
        """Whether nothing has come for this exchange."""
        return self._frames[exchange].empty()

    async def die(self) -> None:
        """Drop the connection as a killed process does."""
        self._writer.transport.abort()
        await self.lost.wait()
        await self._reading

    async def _read(self) -> None:
        decoder = FrameDecoder()
        try:
            while data := await self._reader.read(_READ_BYTES):
                for frame in decoder.feed(data):
                    self._frames[frame.id].put_nowait(frame)
        except ConnectionError:
            pass
        finally:
            self.lost.set()
            self._writer.close()
            for queue in self._frames.values():
                queue.put_nowait(_gone())


def _gone() -> Frame:
    """Stands for the end of the connection."""
    (frame,) = FrameDecoder().feed(encode_frame(Kind.CANCEL, 1, "", Empty()))
    return frame
