"""uvicorn's HTTP protocol, short of what an instance has no use for.

Only Envoy connects, on a Unix socket: a request's address, scheme, root path and state would say
nothing, and Envoy closes its idle connections long before a server would. An answer has the
headers that the app gave it, as they are.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import unquote

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from o_agent.coalesced import CoalescedTransport

_WITHOUT_BODY: Final = frozenset({204, 304})
_NO_DEFAULTS: Final[list[tuple[bytes, bytes]]] = []


class _Bell:
    """A small `asyncio.Event`: thousands of streams have one, or two."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def set(self) -> None:
        self._is_set = True
        for each in self._waiting:
            if not each.done():
                each.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        if self._is_set:
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting += (mine,)
        try:
            await mine
        finally:
            self._waiting = tuple(each for each in self._waiting if each is not mine)


class _Flow(FlowControl):
    """Makes its event when writing is paused, which few connections ever see."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False

    def pause_writing(self) -> None:
        if not self.write_paused:
            self.write_paused = True
            self._is_writable_event = asyncio.Event()


class InstanceHttpProtocol(HttpToolsProtocol):
    """One connection, on a coalesced transport."""

    def connection_made(  # type: ignore[override]  # as uvicorn narrows it
        self, transport: asyncio.Transport
    ) -> None:
        """Called by the event loop."""
        coalesced = CoalescedTransport(transport, self.loop)
        super().connection_made(coalesced)
        self.flow = _Flow(coalesced)
        self.pipeline: list[tuple[RequestResponseCycle, Any]] = []  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {"type": "http", "headers": self.headers}  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        """Called by the parser: start answering, or queue behind the answer before."""
        parser = self.parser
        path, _, query = self.url.partition(b"?")
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"] = unquote(path.decode("ascii")) if b"%" in path else path.decode("ascii")
        scope["query_string"] = query
        former, self.cycle = (
            self.cycle,
            _Cycle(
                scope=self.scope,
                transport=self.transport,
                flow=self.flow,
                logger=self.logger,
                access_logger=self.access_logger,
                access_log=False,
                default_headers=_NO_DEFAULTS,
                message_event=_Bell(),  # type: ignore[arg-type]
                expect_100_continue=self.expect_100_continue,
                keep_alive=parser.should_keep_alive(),
                on_response=self.on_response_complete,
            ),
        )
        if former is None or former.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.append((self.cycle, self.app))

    def on_response_complete(self) -> None:
        """Called by the cycle: begin the next request, if there is one."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop(0))


class _Cycle(RequestResponseCycle):
    """A request and its answer, which has a length, or is sent in chunks, or has no body."""

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._start(message)
            return
        body, more_body = message.get("body", b""), message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            pass
        elif self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(chunk if more_body else chunk + b"0\r\n\r\n")
        else:
            self.transport.write(body)
        if not more_body:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _start(self, message: Any) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = message["status"] not in _WITHOUT_BODY
        content = [STATUS_LINE[message["status"]]]
        for name, value in message["headers"]:
            if name == b"connection":  # which can only be to close it
                self.keep_alive = False
                continue
            if name == b"content-length":
                self.chunked_encoding = False
            content += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            content.append(b"connection: close\r\n")
        if self.chunked_encoding:
            content.append(b"transfer-encoding: chunked\r\n")
        content.append(b"\r\n")
        self.transport.write(b"".join(content))
