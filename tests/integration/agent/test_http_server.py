"""HTTP as instances speak it: framing, queues of requests, and ends of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from o_agent.http_server import InstanceHttpProtocol
from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration
WENT: list[list[dict[str, Any]]] = []
"""What those who waited under `/wait` were told."""


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Tells what it was asked; in chunks under `/chunks`. Under `/wait` two wait for the end."""
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    path = scope["path"]
    if path == "/wait":
        WENT.append(await asyncio.gather(receive(), receive()))
        return
    if path == "/raises":
        raise RuntimeError("on purpose")
    said = f"{scope['method']} {path} {scope['query_string'].decode()} {body.decode()}".encode()
    headers = [(b"x-test", dict(scope["headers"]).get(b"x-test", b"-"))]
    if path == "/chunks":
        pieces = [said[:5], b"", said[5:]]
    else:
        headers.append((b"content-length", b"%d" % len(said)))
        pieces = [said]
    if path == "/nothing":
        await send({"type": "http.response.start", "status": 204, "headers": headers[:1]})
        await send({"type": "http.response.body"})
        return
    if path == "/last":
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces[:-1]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": pieces[-1]})


class Client:
    """A connection that sends bytes and reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self, *, has_body: bool = True) -> tuple[bytes, bytes]:
        """The next answer's head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not has_body:
            return head, b""
        if b"transfer-encoding: chunked" not in head:
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return head, await self.reader.readexactly(length)
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return head, body


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[Client]:
    config = Config(
        _app, http=InstanceHttpProtocol, ws="none", lifespan="off", log_config=None,
        timeout_keep_alive=0,
    )  # fmt: skip
    config.load()
    state, path = ServerState(), str(short_tmp / "s")
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(
        lambda: InstanceHttpProtocol(config=config, server_state=state, app_state={}), path
    )
    reader, writer = await asyncio.open_unix_connection(path)
    async with asyncio.timeout(10):
        yield Client(reader, writer)
    writer.close()
    server.close()


async def test_requests_are_answered_one_after_the_other(client: Client) -> None:
    client.writer.write(
        b"POST /a%20b?q=1 HTTP/1.1\r\nX-Test: yes\r\ncontent-length: 2\r\n\r\nhi"
        b"POST /chunks HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        b"GET /b HTTP/1.1\r\n\r\n"
    )
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-test: yes\r\n" in head
    assert body == b"POST /a b q=1 hi"
    assert (await client.answer())[1] == b"POST /chunks  hello"
    assert (await client.answer())[1] == b"GET /b  "


async def test_everyone_who_waits_is_told_that_the_client_went(client: Client) -> None:
    WENT.clear()
    client.writer.write(b"GET /wait HTTP/1.1\r\n\r\n")
    await client.writer.drain()
    client.writer.close()
    assert await until(lambda: WENT) == [[{"type": "http.disconnect"}] * 2]


async def test_a_body_may_come_in_pieces(client: Client) -> None:
    client.writer.write(b"POST /a HTTP/1.1\r\ncontent-length: 200000\r\n\r\n" + b"x" * 100_000)
    await client.writer.drain()
    client.writer.write(b"x" * 100_000)
    assert (await client.answer())[1] == b"POST /a  " + b"x" * 200_000


async def test_only_the_client_ends_an_idle_connection(client: Client) -> None:
    for number in range(3):
        client.writer.write(b"GET /%d HTTP/1.1\r\n\r\n" % number)
        assert (await client.answer())[1] == b"GET /%d  " % number
        await asyncio.sleep(0.01)


async def test_heads_have_no_body(client: Client) -> None:
    client.writer.write(b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    assert b"content-length: 9\r\n" in (await client.answer(has_body=False))[0]
    assert (await client.answer())[1] == b"GET /b  "


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /last HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /a HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /a HTTP/1.1\r\nconnection: close\r\n\r\n", b"200"),
        (b"GET /raises HTTP/1.1\r\n\r\n", b"500"),
        (b"no request\r\n\r\n", b"400"),
    ],
)
async def test_a_connection_ends_with_its_last_answer(
    client: Client, request_: bytes, status: bytes
) -> None:
    client.writer.write(request_)
    head, _ = await client.answer()
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close\r\n" in head
    assert head.count(b"connection:") == 1
    assert await client.reader.read() == b""


async def test_an_answer_without_a_body_has_neither_length_nor_chunks(client: Client) -> None:
    request = b"DELETE /nothing HTTP/1.1\r\nhost: x\r\n\r\n"
    client.writer.write(request + b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n")
    head, _ = await client.answer(has_body=False)
    assert head == b"HTTP/1.1 204 No Content\r\nx-test: -\r\n\r\n"
    assert (await client.answer())[1] == b"GET /a  "
