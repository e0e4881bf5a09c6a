"""Background tasks: tried again after a failure, and noted."""

from __future__ import annotations

import asyncio

import pytest

from o_platform.clock import SystemClock
from o_platform.errors import EngineUnavailableError
from o_platform.wiring.board import Board

pytestmark = pytest.mark.unit


async def test_failures_are_noted_and_tried_again() -> None:
    board, tries = Board(SystemClock(), first_delay_s=0.0), 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise EngineUnavailableError("no engine answers")
        if tries == 2:
            seen.append(board.notes["x"].condition)
            raise ValueError("oops")

    seen: list[str] = []
    await board.keep_running("x", work)
    assert (tries, seen) == (3, ["running"])
    assert board.notes["x"].condition == "done"


async def test_the_reason_is_shown() -> None:
    board = Board(SystemClock())

    async def work() -> None:
        raise EngineUnavailableError("no engine answers")

    task = asyncio.create_task(board.keep_running("x", work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    note = board.notes["x"]
    assert (note.condition, note.message) == ("failed", "no engine answers")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
