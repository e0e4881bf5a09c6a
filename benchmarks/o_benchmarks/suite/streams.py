"""Streamed turns: the time to the first token, and what thousands of open streams take.

A stream is read as it comes, on a connection of its own without any retry. The scripted model
waits `MODEL_MS` before its first token, which is taken off; `o/echo` takes no time. For the open
streams it says one word and falls silent; memory is read while all are open.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from o_benchmarks.suite.clients import Address
from o_benchmarks.suite.figures import Figures, median
from o_benchmarks.suite.processes import footprint
from o_benchmarks.suite.testbed import FIRST_WORD, HOLD, MODEL_MS, UNBORN, Testbed

REPETITIONS: Final = {True: 50, False: 300}
"""Streams one after the other, if quick and if not."""
OPEN: Final = {True: 500, False: 2_000}
"""Streams open at once, if quick and if not."""
OPENING: Final = 64
"""Streams that are being opened at once."""
CARRIERS: Final = ("envoy", "instance", "bridge", "control", "zygote", UNBORN)
"""What the target for memory is about; PostgreSQL is not among them."""
_LIMIT_S: Final = 240.0
_DONE: Final = b"[DONE]"
_TOKEN: Final = b'"assistant_message"'
_ERROR: Final = b"event: error"
_MB: Final = 1024 * 1024


@dataclass(slots=True)
class Opened:
    """A stream: when its first token came, in seconds after the request; how it ended."""

    first_token_s: float = 0.0
    is_whole: bool = False
    problem: str = ""


async def measure_streams(bed: Testbed) -> Figures:
    """First tokens one at a time, then as many open streams as the target names."""
    figures: Figures = {}
    for name, model, model_ms in (("echo", "o/echo", 0), ("scripted", "o/scripted", MODEL_MS)):
        ids = await bed.agent_ids(REPETITIONS[bed.quick], model)
        above = []
        for agent_id in ids:
            opened = Opened()
            await _read(bed.address, agent_id, FIRST_WORD, opened, asyncio.Event())
            if not opened.is_whole:
                raise RuntimeError(f"a stream failed: {opened.problem}")
            above.append(opened.first_token_s * 1000 - model_ms)
        figures[f"stream.{name}.above_model_p50_ms"] = median(above)
        figures[f"stream.{name}.above_model_p95_ms"] = sorted(above)[int(len(above) * 0.95)]
    return figures | await _open_streams(bed)


async def _open_streams(bed: Testbed) -> Figures:
    count = OPEN[bed.quick]
    _allow_files(2 * count)
    ids = await bed.agent_ids(count, "o/scripted")
    roots = {name: pid for name, pid in (await bed.roots()).items() if name in CARRIERS}
    before = await _sizes(roots)
    streams = [Opened() for _ in ids]
    gate = asyncio.Semaphore(OPENING)
    began = time.perf_counter()
    async with asyncio.timeout(_LIMIT_S), asyncio.TaskGroup() as tasks:
        told = [asyncio.Event() for _ in ids]
        for agent_id, stream, event in zip(ids, streams, told, strict=True):
            tasks.create_task(_held(bed.address, agent_id, stream, event, gate))
        for event in told:
            await event.wait()
        opened_s = time.perf_counter() - began
        during = await _sizes(roots)
        held = sum(1 for stream in streams if not stream.is_whole and not stream.problem)
    figures = {f"streams.{name}_mb": size for name, size in during.items()}
    return figures | {
        "streams.platform_mb": sum(during.values()),
        **{f"streams.before.{name}_mb": size for name, size in before.items()},
        "streams.before_mb": sum(before.values()),
        "streams.open": float(held),
        "streams.opened_s": opened_s,
        "streams.failed": float(sum(1 for stream in streams if not stream.is_whole)),
    }


async def _held(
    address: Address, agent_id: str, stream: Opened, told: asyncio.Event, gate: asyncio.Semaphore
) -> None:
    await gate.acquire()
    reading = asyncio.create_task(_read(address, agent_id, HOLD, stream, told))
    try:
        await told.wait()
    finally:
        gate.release()
    await reading


async def _read(
    address: Address, agent_id: str, text: str, stream: Opened, told: asyncio.Event
) -> None:
    """Send a turn and read its stream; `told` is set with the first token, or the failure."""
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        began = time.perf_counter()
        writer.write(_request(agent_id, text))
        async for line in _lines(reader):
            if _TOKEN in line and not stream.first_token_s:
                stream.first_token_s = time.perf_counter() - began
                told.set()
            elif _ERROR in line:
                stream.problem = line.decode()
            elif _DONE in line:
                stream.is_whole = not stream.problem and stream.first_token_s > 0
                return
        stream.problem = stream.problem or "it ended early"
    except (OSError, EOFError, ValueError) as error:
        stream.problem = f"{type(error).__name__}: {error}"
    finally:
        told.set()
        if writer is not None:
            writer.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a response's body.

    Raises:
        ValueError: its status is not 200.
    """
    status = await reader.readline()
    if b" 200 " not in status:
        raise ValueError(f"{status.decode().strip()}: {(await reader.read(2000)).decode()}")
    while line := await reader.readline():
        yield line


def _request(agent_id: str, text: str) -> bytes:
    message = {"role": "user", "content": text}
    body = json.dumps({"messages": [message], "stream_tokens": True}).encode()
    head = (
        f"POST /v1/agents/{agent_id}/messages/stream HTTP/1.1\r\nhost: o\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _sizes(roots: dict[str, int]) -> Figures:
    """PSS by name, in MB."""
    return {
        name: (await asyncio.to_thread(footprint, pid)).pss / _MB for name, pid in roots.items()
    }


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
