"""The timer that bounds calls, which is kept from one to the next."""

from __future__ import annotations

import asyncio

import pytest

from o_sandbox.alarm import Alarm

pytestmark = pytest.mark.unit


class _Rung:
    """When it rang, by the loop's clock."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.at.append(asyncio.get_running_loop().time())
        self._event.set()

    async def first(self) -> float:
        async with asyncio.timeout(10):
            await self._event.wait()
        return self.at[0]


async def test_it_rings_once_and_not_before_its_time() -> None:
    alarm, rung, now = Alarm(), _Rung(), asyncio.get_running_loop().time()
    alarm.set(now + 0.02, rung)
    assert await rung.first() >= now + 0.02
    after = _Rung()
    Alarm().set(now + 0.04, after)
    await after.first()
    assert len(rung.at) == 1


async def test_what_is_off_does_not_ring_when_its_time_comes() -> None:
    alarm, rung, after, now = Alarm(), _Rung(), _Rung(), asyncio.get_running_loop().time()
    alarm.set(now + 0.01, rung)
    alarm.off()
    Alarm().set(now + 0.02, after)
    await after.first()
    assert not rung.at


@pytest.mark.parametrize(("first", "second"), [(0.01, 0.03), (10.0, 0.01)])
async def test_a_call_gets_its_own_time_whatever_the_one_before_it_had(
    first: float, second: float
) -> None:
    alarm, of_first, of_second = Alarm(), _Rung(), _Rung()
    now = asyncio.get_running_loop().time()
    alarm.set(now + first, of_first)
    alarm.off()
    alarm.set(now + second, of_second)
    rung = await of_second.first()
    assert now + second <= rung < now + second + 5
    assert not of_first.at
