"""The bridge's cache, told over a real socket: in time, again after a restart, never in the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from o_contracts.control import CACHE_DROP, CacheDrop
from o_contracts.frames import Empty, FrameDecoder, Kind, decode_body, encode_frame
from o_platform.agents.cache import BridgeCache

pytestmark = pytest.mark.integration
Answer = Callable[[], Awaitable[None]]


class Bridge:
    """Answers as the bridge's control socket does, and remembers what was dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped: list[list[str]] = []
        self.connections = 0
        self.mute = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        self.writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_unix_server(self._serve, str(self.path))
        yield
        server.close()
        for writer in self.writers:
            writer.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        decoder = FrameDecoder()
        while data := await reader.read(4096):
            for frame in decoder.feed(data):
                if frame.op == CACHE_DROP:
                    self.dropped.append(decode_body(frame, CacheDrop).agent_ids)
                    if self.mute:
                        continue
                writer.write(encode_frame(Kind.REPLY, frame.id, frame.op, Empty()))


async def test_drops_over_one_connection(short_tmp: Path) -> None:
    bridge, cache = Bridge(short_tmp / "b"), BridgeCache(short_tmp / "b")
    async with bridge.listening():
        await asyncio.gather(*(cache.drop([str(number)]) for number in range(20)))
        await cache.drop([])
        assert sorted(bridge.dropped) == sorted([str(number)] for number in range(20))
        assert bridge.connections == 1
        await cache.close()


async def test_connects_again_after_a_restart(short_tmp: Path) -> None:
    bridge, cache = Bridge(short_tmp / "b"), BridgeCache(short_tmp / "b")
    async with bridge.listening():
        await cache.drop(["a"])
    await cache.drop(["nobody hears this"])
    async with bridge.listening():
        await cache.drop(["b"])
        assert bridge.dropped == [["a"], ["b"]]
        await cache.close()


async def test_a_bridge_that_hangs_costs_its_time_and_no_more(short_tmp: Path) -> None:
    bridge, cache = Bridge(short_tmp / "b"), BridgeCache(short_tmp / "b", timeout_s=0.1)
    async with bridge.listening():
        bridge.mute = True
        began = time.monotonic()
        await cache.drop(["a"])
        assert 0.1 <= time.monotonic() - began < 1.0
        bridge.mute = False
        # The late answer to the first must not be taken for that to the second.
        await cache.drop(["b"])
        assert bridge.dropped[-1] == ["b"]
        assert bridge.connections == 2
        await cache.close()


async def test_no_bridge_is_no_error(short_tmp: Path) -> None:
    await BridgeCache(short_tmp / "nothing").drop(["a"])


def test_the_operation_is_what_the_bridge_decodes() -> None:
    body = msgspec.msgpack.encode(CacheDrop(["a"]))
    assert msgspec.msgpack.decode(body) == {"agent_ids": ["a"]}
