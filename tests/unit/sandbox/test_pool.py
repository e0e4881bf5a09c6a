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
