"""A socket in front of the container engine's, which a test may cut without touching the engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

ENGINE: Final = "/var/run/docker.sock"
_PIECE_BYTES: Final = 1 << 16


class Relay:
    """Passes bytes between a socket of its own and the engine's, until it is cut."""

    def __init__(self, path: Path) -> None:
        """`path` is where it will listen."""
        self.path = path
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        """For `DOCKER_HOST`."""
        return f"unix://{self.path}"

    async def open(self) -> None:
        """Listen, and pass on what comes."""
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def cut(self) -> None:
        """Break every connection and take no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writers.clear()
        self._tasks.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE)
        self._writers += [writer, engine_writer]
        for source, target in ((reader, engine_writer), (engine_reader, writer)):
            self._tasks.append(asyncio.create_task(_pass_on(source, target)))


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(_PIECE_BYTES):
        target.write(data)
    target.close()
