"""A real Envoy for tests, and tiny instances for it to route to."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from o_platform.errors import NotReadyError
from o_platform.settings import Settings
from o_platform.testing.listening import close_server
from o_platform.traffic.admin import EnvoyAdmin
from o_platform.traffic.process import envoy_command, envoy_paths, prepare_run

START_S: Final = 10.0
BEHAVIOUR_HEADER: Final = b"x-test"
"""What a `Backend` shall do with a request: see there."""


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EnvoyProcess:
    """An Envoy with the platform's own bootstrap and command line."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is started yet."""
        self.settings = settings
        self.paths = envoy_paths(settings)
        self.admin = EnvoyAdmin(self.paths.admin_socket)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 when it does not run."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start Envoy and wait until it is ready.

        Raises:
            NotReadyError: it is not within `START_S` seconds.
        """
        prepare_run(self.settings)
        log = (self.settings.run / "envoy.log").open("ab")
        with log:
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220
                envoy_command(self.settings), stdout=log, stderr=log
            )
        try:
            async with asyncio.timeout(START_S):
                while not await self.admin.is_ready():  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            raise NotReadyError(f"Envoy did not start: {self.log()}") from error

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End Envoy and wait for its end."""
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(START_S)
            self._process = None

    def log(self) -> str:
        """What Envoy had to say."""
        return (self.settings.run / "envoy.log").read_text(errors="replace")


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it arrived at a backend."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Backend:
    """An HTTP server on a Unix socket that says who it is, and what it was asked.

    The header `x-test` chooses: `die` hangs up without an answer, `cut` in the middle of one,
    `slow` takes 300 ms, `frozen` answers nothing until the backend stops, `unavailable` answers
    503; `die-on-<name>`, `frozen-on-<name>` and so on hold for the backend of that name only.
    """

    name: str
    path: Path
    seen: list[SeenRequest] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _connections: dict[asyncio.StreamWriter, asyncio.Event] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Listen; an older socket of the path is replaced."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._stopping.clear()
        self._server = await asyncio.start_unix_server(self._serve, self.path, backlog=1024)

    async def stop(self) -> None:
        """Hang up on everyone."""
        if self._server is not None:
            await close_server(self._server)
            self.path.unlink(missing_ok=True)
            self._server = None
        self._stopping.set()
        for writer, ended in list(self._connections.items()):
            writer.transport.abort()
            await ended.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = self._connections[writer] = asyncio.Event()
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(await _read_request(reader), writer):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        del self._connections[writer]
        ended.set()

    async def _answer(self, request: SeenRequest, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays open."""
        if request.path == "/healthz":
            return await _send(writer, 200, b"{}")
        self.seen.append(request)
        behaviour = request.headers.get(BEHAVIOUR_HEADER.decode(), "")
        behaviour = behaviour.removesuffix(f"-on-{self.name}")
        if behaviour == "slow":
            await asyncio.sleep(0.3)
        if behaviour == "frozen":
            await self._stopping.wait()
        if behaviour == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await writer.drain()
        if behaviour in ("die", "cut", "frozen"):
            return False
        status = 503 if behaviour == "unavailable" else 200
        return await _send(writer, status, json.dumps(self._description(request)).encode())

    def _description(self, request: SeenRequest) -> dict[str, Any]:
        return {
            "backend": self.name,
            "method": request.method,
            "path": request.path,
            "headers": request.headers,
            "body_bytes": len(request.body),
        }


@asynccontextmanager
async def running(*backends: Backend) -> AsyncIterator[None]:
    """The backends, listening for the time of the block."""
    try:
        for backend in backends:
            await backend.start()
        yield
    finally:
        for backend in backends:
            await backend.stop()


async def _read_request(reader: asyncio.StreamReader) -> SeenRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return SeenRequest(method, path, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes) -> bool:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    writer.write(f"{head}\r\n\r\n".encode() + body)
    await writer.drain()
    return True
