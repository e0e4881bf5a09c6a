"""Client and frame server together, over a Unix socket, without LiteLLM."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from o_contracts.bridge import HELLO, Hello
from o_contracts.frames import INITIAL_CREDIT, Kind, encode_frame
from o_contracts.llm import LlmDelta, LlmMessage, LlmRequest, LlmResult
from o_platform.errors import (
    BudgetExceededError,
    LlmBadRequestError,
    LlmError,
    LlmTimeoutError,
)
from o_platform.llm.client import LlmClient
from o_platform.llm.server import Exchange, FrameServer, listening_socket

pytestmark = pytest.mark.unit

REQUEST = LlmRequest(model="a/b", messages=[LlmMessage("user", "hi")], stream=True)
Handler = Callable[[Exchange], Awaitable[object]]


@asynccontextmanager
async def serving(
    path: Path, handler: Handler, longest_silence_s: float = 5
) -> AsyncIterator[None]:
    listener = listening_socket(str(path))
    server = FrameServer(handler, longest_silence_s=longest_silence_s)
    task = asyncio.create_task(server.serve(listener))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[LlmClient]:
    client = LlmClient(path, grace_s=0.1)
    try:
        yield client
    finally:
        await client.close()


async def collect(client: LlmClient) -> list[LlmDelta | LlmResult]:
    return [item async for item in client.complete(REQUEST)]


async def answer_at_once(exchange: Exchange) -> object:
    exchange.streaming = True
    await exchange.emit(LlmDelta("a"))
    return LlmResult("a")


async def test_an_answer_streams(short_tmp: Path) -> None:
    path = short_tmp / "s"
    async with serving(path, answer_at_once), connected(path) as client:
        assert await collect(client) == [LlmDelta("a"), LlmResult("a")]
        assert path.stat().st_mode & 0o777 == 0o600


async def test_errors_come_back_as_they_were(short_tmp: Path) -> None:
    async def refuse(exchange: Exchange) -> object:
        raise BudgetExceededError("spent", limit_usd=5)

    async with serving(short_tmp / "s", refuse), connected(short_tmp / "s") as client:
        with pytest.raises(BudgetExceededError, match="spent") as caught:
            await collect(client)
        assert caught.value.detail == {"limit_usd": 5}


async def test_a_defect_is_logged_and_told(
    short_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def stumble(exchange: Exchange) -> object:
        raise ZeroDivisionError

    async with serving(short_tmp / "s", stumble), connected(short_tmp / "s") as client:
        with pytest.raises(LlmError, match="o logs llm") as caught:
            await collect(client)
    assert caught.value.detail["error_id"] == caplog.records[-1].__dict__["error_id"]


async def test_a_slow_reader_holds_back_only_its_own_producer(short_tmp: Path) -> None:
    emitted: dict[int, int] = {}

    async def pour(exchange: Exchange) -> object:
        exchange.streaming = True
        for number in range(500):
            await exchange.emit(LlmDelta(str(number)))
            emitted[exchange.frame.id] = number + 1
        return LlmResult("end")

    async with serving(short_tmp / "s", pour), connected(short_tmp / "s") as client:
        slow = client.complete(REQUEST)
        await anext(slow)
        assert len(await collect(client)) == 501
        assert sorted(emitted.values()) == [INITIAL_CREDIT, 500]
        assert len([item async for item in slow]) == 500


async def test_leaving_early_cancels(short_tmp: Path) -> None:
    cancelled = asyncio.Event()

    async def hang(exchange: Exchange) -> object:
        await exchange.emit(LlmDelta("a"))
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        raise AssertionError

    async with serving(short_tmp / "s", hang, 0.1), connected(short_tmp / "s") as client:
        stream = client.complete(REQUEST)
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(5):
            await cancelled.wait()
        cancelled.clear()
        with pytest.raises(LlmTimeoutError, match=r"within 0\.2 s"):
            await collect(client)
        async with asyncio.timeout(5):
            await cancelled.wait()


async def test_a_new_gateway_takes_over(short_tmp: Path) -> None:
    path = short_tmp / "s"
    begun = asyncio.Event()

    async def never(exchange: Exchange) -> object:
        begun.set()
        return await asyncio.get_running_loop().create_future()

    async with connected(path) as client:
        async with serving(path, never):
            call = asyncio.create_task(collect(client))
            await begun.wait()
        async with serving(path, answer_at_once):
            assert await call == [LlmDelta("a"), LlmResult("a")]


async def test_a_stream_under_way_is_not_repeated(short_tmp: Path) -> None:
    path = short_tmp / "s"

    async def half(exchange: Exchange) -> object:
        await exchange.emit(LlmDelta("a"))
        return await asyncio.get_running_loop().create_future()

    async with connected(path) as client:
        async with serving(path, half):
            stream = client.complete(REQUEST)
            await anext(stream)
        with pytest.raises(LlmError, match="went away"):
            await anext(stream)


async def test_a_request_too_large_is_refused(short_tmp: Path) -> None:
    huge = LlmRequest(model="a/b", messages=[LlmMessage("user", "x" * 9_000_000)])
    async with serving(short_tmp / "s", answer_at_once), connected(short_tmp / "s") as client:
        with pytest.raises(LlmBadRequestError, match="exceeds the maximum"):
            await anext(client.complete(huge))
        assert len(await collect(client)) == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        encode_frame(Kind.REQUEST, 1, "llm.complete", REQUEST),
        encode_frame(Kind.REQUEST, 1, HELLO, {"versions": "x"}),
        encode_frame(Kind.REQUEST, 1, HELLO, Hello([99], "", 1)),
        encode_frame(Kind.REQUEST, 1, HELLO, Hello([1], "", 1))
        + encode_frame(Kind.REQUEST, 2, "x", None) * 2,
        encode_frame(Kind.REQUEST, 1, HELLO, Hello([1], "", 1))
        + encode_frame(Kind.REQUEST, 2, "x", None)
        + encode_frame(Kind.CREDIT, 2, "x", "many"),
    ],
)
async def test_malformed_closes_the_connection_and_no_other(short_tmp: Path, sent: bytes) -> None:
    async def never(exchange: Exchange) -> object:
        if exchange.frame.op == "x":
            return await asyncio.get_running_loop().create_future()
        return await answer_at_once(exchange)

    async with serving(short_tmp / "s", never), connected(short_tmp / "s") as client:
        assert len(await collect(client)) == 2
        reader, writer = await asyncio.open_unix_connection(short_tmp / "s")
        writer.write(sent)
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        assert len(await collect(client)) == 2


def test_the_supervisors_socket_is_taken_over(short_tmp: Path) -> None:
    """File descriptor 3 and `LISTEN_FDS`, as a supervisor hands them over."""
    path = str(short_tmp / "s")
    code = (
        "from o_platform.llm.server import listening_socket as l; import os;"
        "s = l('/nowhere/s'); print(s.getsockname(), 'LISTEN_FDS' in os.environ)"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        command = f'exec {sys.executable} -c "$0" 3<&{listener.fileno()}'
        done = subprocess.run(
            ["bash", "-c", command, code],
            env=os.environ | {"LISTEN_FDS": "1"},
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.strip() == f"{path} False"
