"""The pool of instances that wait for a call."""

from __future__ import annotations

import threading

import pytest

from o_platform.testing.waiting import until
from o_sandbox.engine.pool import Pool

pytestmark = pytest.mark.unit


class _Room:
    """Instances, of which only so many may live, and whose closing a test can hold up."""

    def __init__(self) -> None:
        self.living = self.most = 0
        self.is_free = threading.Event()
        self._lock = threading.Lock()

    def make(self) -> _Instance:
        with self._lock:
            self.living += 1
            self.most = max(self.most, self.living)
        return _Instance(self)

    def leave(self) -> None:
        with self._lock:
            self.living -= 1


class _Instance:
    def __init__(self, room: _Room) -> None:
        self._room = room

    def close(self) -> None:
        if threading.current_thread().name == "pool":
            assert self._room.is_free.wait(10)
        self._room.leave()


def test_callers_faster_than_the_pool_s_thread_do_not_run_out_of_room() -> None:
    room = _Room()
    pool = Pool(room.make, idle=2)
    pool.start()
    for _ in range(100):
        pool.retire(pool.take())
    room.is_free.set()
    assert room.most <= 2 * 2 + 2, "used instances were left to wait without a bound"


async def test_the_pool_s_thread_fills_it_and_keeps_it_full() -> None:
    room = _Room()
    room.is_free.set()
    pool = Pool(room.make, idle=3)
    pool.start()
    for _ in range(5):
        await until(lambda: pool.ready == 3)
        pool.retire(pool.take())
    await until(lambda: pool.ready == room.living == 3)


async def test_nothing_is_made_or_dropped_while_calls_follow_closely_until_few_are_left() -> None:
    room = _Room()
    room.is_free.set()
    pool = Pool(room.make, idle=9, lull_s=3600)
    pool.start()
    taken = [pool.take() for _ in range(pool.ready)]
    await until(lambda: pool.ready == 5)  # few are four
    before = room.living
    pool.retire(taken.pop())
    pool.take()
    await until(lambda: pool.ready == 5)
    assert room.living == before + 1, "an instance was dropped beside a call, or too many were made"


async def test_instances_are_made_anew_while_calls_go_on_for_long() -> None:
    room = _Room()
    room.is_free.set()
    pool = Pool(room.make, idle=4)
    pool.start()
    await until(lambda: pool.ready == 4)
    for _ in range(4):
        pool.take()
    await until(lambda: pool.ready == 4)
