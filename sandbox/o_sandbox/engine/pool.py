"""Instances that nobody used yet, made before they are needed and dropped after the answer is sent.

An instance serves one call. Making and dropping one takes longer than a small call itself, so a
thread of its own does both: while calls follow each other closely it waits, since it would take
the memory map and the interpreter's lock from them, unless few instances are left. Callers who are
faster than that thread drop their instances themselves: there is room for so many only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import wasmtime

LULL_S: Final = 0.005
"""So long after the start or the end of a call the next one is not expected any more."""
log = logging.getLogger("o_sandbox.engine")


class Closable(Protocol):
    """What a pool holds."""

    def close(self) -> None:
        """Give back everything."""


Instance = TypeVar("Instance", bound=Closable)


class Pool(Generic[Instance]):
    """Keeps `idle` instances ready; at most as many that were used wait to be dropped."""

    def __init__(self, make: Callable[[], Instance], idle: int, *, lull_s: float = LULL_S) -> None:
        """`make` is called from any thread."""
        self._make, self._idle, self._few, self._lull_s = make, idle, (idle - 1) // 2, lull_s
        self._ready: deque[Instance] = deque()
        self._used: deque[Instance] = deque()
        self._last_use = 0.0
        self._has_work, self._few_are_left = threading.Event(), threading.Event()

    def start(self) -> None:
        """Make the first instance here and now, and let a thread keep them coming."""
        if self._idle:
            self._ready.append(self._make())
        self._has_work.set()
        threading.Thread(target=self._tend, name="pool", daemon=True).start()

    @property
    def ready(self) -> int:
        """How many wait."""
        return len(self._ready)

    def take(self) -> Instance:
        """One that nobody used; made now if none is ready."""
        self._last_use = time.monotonic()
        try:
            instance = self._ready.popleft()
        except IndexError:
            instance = None
        if len(self._ready) <= self._few:
            self._few_are_left.set()
            self._has_work.set()
        return self._make() if instance is None else instance

    def retire(self, instance: Instance) -> None:
        """Drop one that was used and make another, later if that is soon enough."""
        self._last_use = time.monotonic()
        if len(self._used) < self._idle:
            self._used.append(instance)
            self._has_work.set()
        else:
            instance.close()

    def _tend(self) -> None:
        while True:
            self._has_work.wait()
            self._has_work.clear()
            while self._refill() or self._drop():
                continue

    def _refill(self) -> bool:
        if len(self._ready) >= self._idle:
            return False
        self._await_lull()
        try:
            self._ready.append(self._make())
        except wasmtime.WasmtimeError as error:
            log.warning("no instance can be made ahead: %s", error)
            return False
        return True

    def _drop(self) -> bool:
        if not self._used:
            return False
        self._await_lull()
        self._used.popleft().close()
        return True

    def _await_lull(self) -> None:
        """Wait until no call began or ended for a while, or few instances are left."""
        while True:
            self._few_are_left.clear()
            left_s = self._last_use + self._lull_s - time.monotonic()
            if left_s <= 0 or len(self._ready) <= self._few:
                return
            self._few_are_left.wait(left_s)
