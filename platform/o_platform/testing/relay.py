"""A socket in front of the container engine's, which a test may cut without touching the engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from o_platform.testing.listening import close_server

ENGINE: Final = "/var/run/docker.sock"
_PIECE_BYTES: Final = 1 << 16


class Relay:
    """Passes bytes between a socket of its own and the engine's, until it is cut."""

    def __init__(self, path: Path) -> None:
        """`path` is where it will listen."""
        self.path = path
        self.asked: list[str] = []
        """The request lines that passed, oldest first."""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """For `DOCKER_HOST`."""
        return f"unix://{self.path}"

    async def open(self) -> None:
        """Listen, and pass on what comes."""
        self._server = await asyncio.start_unix_server(self._accept, str(self.path))

    async def cut(self) -> None:
        """Break every connection and take no more."""
        if self._server is not None:
            await close_server(self._server)
            self._server = None
            self.path.unlink()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the next round

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        connection = asyncio.create_task(_relay(reader, writer, self._note))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    def _note(self, piece: bytes) -> None:
        line = piece.split(b"\r\n", 1)[0]
        if line.endswith(b" HTTP/1.1"):
            self.asked.append(line.decode())


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[bytes], None]
) -> None:
    ends = [writer]
    try:
        engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE)
        ends.append(engine_writer)
        await asyncio.gather(_pass_on(reader, engine_writer, note), _pass_on(engine_reader, writer))
    finally:
        for end in ends:
            end.transport.abort()


async def _pass_on(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    note: Callable[[bytes], None] | None = None,
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(_PIECE_BYTES):
            if note is not None:
                note(data)
            target.write(data)
    target.close()
