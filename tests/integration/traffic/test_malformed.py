"""What is no proper HTTP gets an answer that says so, and reaches nobody."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytestmark = pytest.mark.integration

HEAD = b"POST /v1/agents/ HTTP/1.1\r\nhost: o\r\n"
FLOOD = b"".join(b"x-%d: v\r\n" % number for number in range(500))


async def exchange(edge: Any, data: bytes) -> tuple[int, dict[str, Any], bytes]:
    """Send bytes as they are; the status, the body and the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.settings.listen_port)
    writer.write(data)
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = json.loads(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return int(head.split(b" ", 2)[1]), body, head


REFUSED = (
    (b"\x00\x01nothing like HTTP\r\n\r\n", 400, "bad_request"),
    (b"GET /v1/agents/ HTTP/1.1\r\n\r\n", 400, "bad_request"),
    (b"GET /v1/agents/%00 HTTP/1.1\r\nhost: o\r\n\r\n", 400, "bad_request"),
    (b"GET /v1/agents/\xff HTTP/1.1\r\nhost: o\r\n\r\n", 400, "bad_request"),
    (HEAD + b"content-length: -5\r\n\r\n", 400, "bad_request"),
    (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n12345", 400, "bad_request"),
    (
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_request",
    ),
    (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
    (HEAD + FLOOD + b"\r\n", 431, "too_large"),
    (HEAD + b"x-long: " + b"v" * 100_000 + b"\r\n\r\n", 431, "too_large"),
    (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: o\r\n\r\n", 431, "too_large"),
    (HEAD + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n", 403, "forbidden"),
)


async def test_what_is_no_proper_request(edge: Any) -> None:
    for data, status, code in REFUSED:
        answered, body, _ = await exchange(edge, data)
        assert (data[:80], answered, body["code"]) == (data[:80], status, code)
        assert body["detail"]
    assert edge.control.seen == []


async def test_a_refusal_that_is_temporary_says_when_to_try_again(edge: Any) -> None:
    await edge.serve(edge.lineage(stable=()))
    status, body, head = await exchange(
        edge, f"POST {edge.turn()} HTTP/1.1\r\nhost: o\r\n\r\n".encode()
    )
    assert (status, body["code"]) == (503, "unavailable")
    assert b"retry-after: 1\r\n" in head
