"""The host's end of the socket: bytes of a process that nobody trusts, cut into messages."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import msgspec

from o_sandbox.worker import wire

_CHUNK: Final = 32 * 1024
ROOM_BYTES: Final = 64 * 1024
"""Above the output limit, for the frame around it and the error text."""


class WorkerDiedError(Exception):
    """The worker's end of the socket closed."""


class Frames(asyncio.BufferedProtocol):
    """Messages in order; `limit` bounds the next ones, in bytes."""

    def __init__(self) -> None:
        """Nothing arrived yet."""
        self.limit = ROOM_BYTES
        self._read = bytearray(_CHUNK)
        self._buffer = bytearray()
        self._messages: deque[wire.FromWorker] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where to read into: always the same place, as new room for each read costs more."""
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        read = memoryview(self._read)[:nbytes]
        try:
            if self._buffer or not self._is_one(read):
                self._buffer += read
                self._cut()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._fail(error)
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is closed."""
        self._fail(WorkerDiedError())
        self._wake()

    def expire(self) -> None:
        """Wait for messages no longer: the call's time is over."""
        self._fail(TimeoutError())
        self._wake()

    async def next(self) -> wire.FromWorker:
        """The next message.

        Raises:
            TimeoutError: the call's time is over.
            WorkerDiedError: there will be none.
            ValueError: what arrived is no message, or longer than `limit`.
        """
        while not self._messages:
            if self._failure is not None:
                raise self._failure
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._messages.popleft()

    def _is_one(self, read: memoryview) -> bool:
        """Take it if it is one message and nothing else, as it mostly is."""
        size = wire.HEADER.size
        if len(read) < size or self._failure is not None:
            return False
        (length,) = wire.HEADER.unpack_from(read)
        if length != len(read) - size or length > self.limit:
            return False
        self._messages.append(wire.from_worker.decode(read[size:]))
        return True

    def _cut(self) -> None:
        size = wire.HEADER.size
        while len(self._buffer) >= size and self._failure is None:
            (length,) = wire.HEADER.unpack_from(self._buffer)
            if length > self.limit:
                raise ValueError(f"a frame of {length} bytes, more than {self.limit}")
            if len(self._buffer) < size + length:
                return
            self._messages.append(wire.from_worker.decode(self._buffer[size : size + length]))
            del self._buffer[: size + length]

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
