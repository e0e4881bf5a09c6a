"""A model provider on loopback that does what it is told: streams, calls tools, fails, hangs, cuts.

`OpenAiServer` speaks the OpenAI protocol (`POST …/chat/completions`, `POST …/embeddings`,
`GET …/models`), Anthropic's
(`POST …/messages`) and Ollama's (`POST …/api/chat`, `GET …/api/tags`), streamed or not. It answers
each model call with the next of the answers it was given (`play`), then with `Reply()`, and records
every request. It runs in a thread of its own, on a free port.

```python
with OpenAiServer() as server:
    server.play(Fail(429, retry_after="0"), Reply("hello"))
    ...                                  # call the model at server.base_url
    assert len(server.requests) == 2
```
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from o_platform.testing import wire_formats as wire
from o_platform.testing.wire_formats import Reply

START_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Fail:
    """An error status; `retry_after` is the header as it is sent."""

    status: int
    retry_after: str | None = None
    message: str = "told to fail"


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, until the client goes away; `after_chunks` of a stream are sent first."""

    after_chunks: int = 0
    reply: Reply = Reply("one two three four five six")


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed in the middle of a stream, after so many of its chunks.

    `clean` ends the HTTP message properly, as if the stream were complete.
    """

    after_chunks: int
    clean: bool = False
    reply: Reply = Reply("one two three four five six")


@dataclass(frozen=True, slots=True)
class Garbage:
    """Status 200 and a body that is not of the protocol."""

    body: str = "<html>this is not the API you are looking for</html>"


Answer = Reply | Fail | Hang | Cut | Garbage


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)


class OpenAiServer:
    """The provider. A context manager; its methods may be called from any thread."""

    def __init__(self, models: tuple[str, ...] = ("gpt-test",)) -> None:
        """`models` are listed by the models end point."""
        self.requests: list[Request] = []
        self._disconnected = threading.Event()
        self._models = models
        self._answers: deque[Answer] = deque()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="openai-server", daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        """Root, for Ollama and Anthropic."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """Base URL, as OpenAI clients want it."""
        return f"{self.url}/v1"

    @property
    def calls(self) -> list[Request]:
        """The recorded model calls."""
        return [request for request in self.requests if request.method == "POST"]

    def play(self, *answers: Answer) -> None:
        """Append to the answers that the next model calls get."""
        self._answers.extend(answers)

    def reset(self) -> None:
        """Forget recorded requests and the answers not given yet."""
        self._answers.clear()
        self.requests.clear()
        self._disconnected.clear()

    def wait_for_disconnect(self, timeout_s: float = 5.0) -> None:
        """Return once a client has gone away without waiting for its answer's end.

        Raises:
            TimeoutError: every client still waits.
        """
        if not self._disconnected.wait(timeout_s):
            raise TimeoutError(f"no client went away within {timeout_s:g} s")

    def __enter__(self) -> OpenAiServer:
        """Start listening.

        Raises:
            TimeoutError: it did not start in time.
        """
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            raise TimeoutError("the OpenAI-compatible test server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, dropping open connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read_request(reader)
            self.requests.append(request)
            await self._answer(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self._disconnected.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.method == "GET":
            _write(writer, 200, wire.model_list(request.path, self._models))
            return
        answer = self._answers.popleft() if self._answers else Reply()
        match answer:
            case Fail():
                _write(writer, answer.status, wire.error(answer.message), answer.retry_after)
            case Garbage():
                _write(writer, 200, answer.body)
            case Reply():
                await self._reply(request, answer, writer)
            case Hang() | Cut():
                await self._break_off(request, answer, reader, writer)

    async def _reply(self, request: Request, reply: Reply, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(reply.delay_s)
        if not request.body.get("stream"):
            _write(writer, 200, wire.whole(request.path, request.body, reply))
            return
        _start_stream(writer, request.path)
        for chunk in wire.chunks(request.path, request.body, reply):
            await _send_chunk(writer, chunk)
            await asyncio.sleep(reply.gap_s)
        await _send_chunk(writer, "")

    async def _break_off(
        self,
        request: Request,
        answer: Hang | Cut,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if answer.after_chunks:
            _start_stream(writer, request.path)
        chunks = wire.chunks(request.path, request.body, answer.reply)
        for chunk in chunks[: answer.after_chunks]:
            await _send_chunk(writer, chunk)
        if isinstance(answer, Cut):
            if answer.clean:
                await _send_chunk(writer, "")
            return
        if not await reader.read(1):
            self._disconnected.set()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, json.loads(body) if body else {})


def _write(
    writer: asyncio.StreamWriter, status: int, body: object, retry_after: str | None = None
) -> None:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n"
    if retry_after is not None:
        head += f"retry-after: {retry_after}\r\n"
    writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)


def _start_stream(writer: asyncio.StreamWriter, path: str) -> None:
    writer.write(
        f"HTTP/1.1 200 OK\r\ncontent-type: {wire.stream_type(path)}\r\n"
        "transfer-encoding: chunked\r\nconnection: close\r\n\r\n".encode()
    )


async def _send_chunk(writer: asyncio.StreamWriter, chunk: str) -> None:
    data = chunk.encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()
