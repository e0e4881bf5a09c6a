"""Waiting for processes that end, or do not."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from o_platform.runtimes.process_facts import ended

pytestmark = pytest.mark.unit


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as made:
        yield made


async def test_what_ends_in_time_has_ended(process: subprocess.Popen[bytes]) -> None:
    waiting = asyncio.create_task(ended(process.pid, 60))
    await asyncio.sleep(0)
    assert process.stdin is not None
    process.stdin.close()
    assert await waiting


async def test_time_is_up_for_who_was_cancelled_too(process: subprocess.Popen[bytes]) -> None:
    found = []
    begun = asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            found.append(await ended(process.pid, 0.01))

    working = asyncio.create_task(work())
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert found == [False]
