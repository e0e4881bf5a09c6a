"""Waiting for a condition, never for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_LOOK_AGAIN_S = 0.005


async def until(condition: Callable[[], T], timeout_s: float = 10.0) -> T:
    """The first true value of `condition`, asked every few milliseconds.

    Raises:
        TimeoutError: it did not become true in time.
    """
    async with asyncio.timeout(timeout_s):
        while not (value := condition()):  # noqa: ASYNC110 — a condition nobody signals
            await asyncio.sleep(_LOOK_AGAIN_S)
    return value
