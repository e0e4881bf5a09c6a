"""The client of an engine that does not answer: whoever called is not kept waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from o_sandbox import client as clients
from o_sandbox.client import EngineClient, EngineHungError
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.wire import Ask, Done, Run, frame

pytestmark = pytest.mark.unit


@asynccontextmanager
async def _engine(path: Path, *answers: Ask | Done | None) -> AsyncIterator[EngineClient]:
    """Answers the first calls so, and no others."""
    left, serving = list(answers), asyncio.Queue[asyncio.Task[Any] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.put_nowait(asyncio.current_task())
        while await reader.read(65536):
            if left and (answer := left.pop(0)):
                writer.write(frame(answer))
        writer.close()
        await writer.wait_closed()

    client = EngineClient(path, 1)
    async with await asyncio.start_unix_server(serve, path):
        try:
            yield client
        finally:
            client.close()
            while not serving.empty():
                await asyncio.wait_for(serving.get_nowait() or asyncio.sleep(0), 5)


def _run(wall_s: float) -> Run:
    return Run("f", "python", b"", "f", "{}", Limits(wall_s=wall_s), b"seed", 1)


async def test_an_engine_that_is_silent_is_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_GRACE_S", 0.1)
    async with _engine(tmp_path / "s", Done(Outcome("ok"), b"1"), None, Done(Outcome("ok"))) as one:
        assert (await one.run(_run(60), {}, None)).value == 1
        started = time.monotonic()
        with pytest.raises(EngineHungError, match="f"):
            await one.run(_run(0.1), {}, None)
        assert 0.2 <= time.monotonic() - started < 5
        assert (await one.run(_run(60), {}, None)).reason == "ok"  # over another connection


async def test_a_host_function_that_goes_on_is_stopped_with_its_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_GRACE_S", 0.1)
    stopped = asyncio.Event()

    async def wait(_arguments: Mapping[str, Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with _engine(tmp_path / "s", Ask("wait", "{}")) as client:
        with pytest.raises(EngineHungError):
            await client.run(_run(0.05), {"wait": wait}, None)
        await asyncio.wait_for(stopped.wait(), 5)
