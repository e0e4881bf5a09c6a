"""Instances that nobody used yet, made before they are needed and dropped after the answer is sent.

An instance serves one call. Making and dropping one takes longer than a small call itself, so a
thread of its own does both. Callers who are faster than that thread drop their instances
themselves: there is room for so many only.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import wasmtime

log = logging.getLogger("o_sandbox.engine")


class Closable(Protocol):
    """What a pool holds."""

    def close(self) -> None:
        """Give back everything."""


Instance = TypeVar("Instance", bound=Closable)


class Pool(Generic[Instance]):
    """Keeps `idle` instances ready; at most as many that were used wait to be dropped."""

    def __init__(self, make: Callable[[], Instance], idle: int) -> None:
        """`make` is called from any thread."""
        self._make, self._idle = make, idle
        self._ready: deque[Instance] = deque()
        self._work: queue.SimpleQueue[Instance] = queue.SimpleQueue()

    def start(self) -> None:
        """Make the first instance here and now, and let a thread keep them coming."""
        if self._idle:
            self._ready.append(self._make())
        threading.Thread(target=self._tend, name="pool", daemon=True).start()

    @property
    def ready(self) -> int:
        """How many wait."""
        return len(self._ready)

    def take(self) -> Instance:
        """One that nobody used; made now if none is ready."""
        try:
            return self._ready.popleft()
        except IndexError:
            return self._make()

    def retire(self, instance: Instance) -> None:
        """Drop one that was used and make another, later if that is soon enough."""
        if self._work.qsize() < self._idle:
            self._work.put(instance)
        else:
            instance.close()

    def _tend(self) -> None:
        while True:
            while len(self._ready) < self._idle and self._refill():
                continue
            self._work.get().close()

    def _refill(self) -> bool:
        try:
            self._ready.append(self._make())
        except wasmtime.WasmtimeError as error:
            log.warning("no instance can be made ahead: %s", error)
            return False
        return True
