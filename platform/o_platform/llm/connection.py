"""The asking side of a frame connection: many exchanges over one Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from o_contracts.bridge import HELLO, Hello
from o_contracts.frames import (
    INITIAL_CREDIT,
    PROTOCOL_VERSIONS,
    Frame,
    FrameDecoder,
    FrameError,
    Kind,
    decode_body,
    encode_frame,
)
from o_contracts.llm import GatewayWelcome

READ_BYTES: Final = 64 * 1024
HELLO_TIMEOUT_S: Final = 60.0
CREDIT_STEP: Final = INITIAL_CREDIT // 2
"""Chunks taken before further credit is granted: half of it, so that the producer never waits."""


class ConnectionLostError(ConnectionError):
    """The other side closed the connection, or sent something malformed."""


class FrameConnection:
    """An open connection; `FrameConnection.open` makes one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Start reading; needs a running event loop."""
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Queue[Frame | None]] = {}
        self._reading = asyncio.create_task(self._read())
        self.longest_silence_s = HELLO_TIMEOUT_S
        """How long the other side may stay silent in an exchange; it says so in its welcome."""

    @classmethod
    async def open(cls, path: Path) -> FrameConnection:
        """Connect to `path` and say hello.

        Raises:
            OSError: nobody listens there.
            ConnectionLostError: the other side hung up, or speaks none of our versions.
        """
        connection = cls(*await asyncio.open_unix_connection(path))
        try:
            hello = Hello(list(PROTOCOL_VERSIONS), variant="", pid=os.getpid())
            async with contextlib.aclosing(connection.exchange(HELLO, hello)) as frames:
                welcome = decode_body(await anext(frames), GatewayWelcome)
                connection.longest_silence_s = welcome.longest_silence_s
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether new exchanges can begin."""
        return not self._reading.done()

    async def exchange(self, op: str, body: object) -> AsyncGenerator[Frame, None]:
        """Ask, and yield each frame of the answer; the last one is a reply, an end or an error.

        Closing the generator early cancels the exchange on the other side.

        Raises:
            ConnectionLostError: the connection ended before the answer did.
        """
        if not self.is_open:
            raise ConnectionLostError("the connection is closed")
        number = next(self._numbers)
        arrived: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._open[number] = arrived
        finished = False
        try:
            await self._send(Kind.REQUEST, number, op, body)
            taken = 0
            while not finished:
                frame = await arrived.get()
                if frame is None:
                    raise ConnectionLostError("the connection ended in the middle of an answer")
                finished = frame.kind != Kind.CHUNK
                yield frame
                taken += 1
                if not finished and taken % CREDIT_STEP == 0:
                    await self._send(Kind.CREDIT, number, op, CREDIT_STEP)
        finally:
            del self._open[number]
            if not finished and self.is_open:
                self._writer.write(encode_frame(Kind.CANCEL, number, op, None))

    async def close(self) -> None:
        """Close; exchanges under way end with `ConnectionLostError`."""
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _send(self, kind: Kind, number: int, op: str, body: object) -> None:
        try:
            self._writer.write(encode_frame(kind, number, op, body))
            await self._writer.drain()
        except ConnectionError as error:
            raise ConnectionLostError(str(error)) from error

    async def _read(self) -> None:
        decoder = FrameDecoder()
        try:
            while data := await self._reader.read(READ_BYTES):
                for frame in decoder.feed(data):
                    arrived = self._open.get(frame.id)
                    if arrived is not None:
                        arrived.put_nowait(frame)
        except (FrameError, ConnectionError):
            self._writer.close()
        finally:
            for arrived in self._open.values():
                arrived.put_nowait(None)
