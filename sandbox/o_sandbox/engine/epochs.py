"""Looks at running guests: a thread moves the epoch, and each guest then asks its call's meter.

The thread sleeps once no guest has run for a while, so that an idle engine costs nothing, nor the
next call of several to wake it. The bindings do not wrap Wasmtime's callback for an epoch's end, so
the C function is called.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import wasmtime
from wasmtime import _bindings as c

from o_sandbox.engine import call as calls

_CONTINUE: Final = 0
_AWAKE_TICKS: Final = 100
"""So often the epoch moves on after the last guest has ended."""
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.POINTER(c.wasmtime_context_t),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(c.wasmtime_update_deadline_kind_t),
)
_Finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def watch(store: wasmtime.Store) -> None:
    """Have the guests of this store asked at every tick whether they may go on."""
    c.wasmtime_store_epoch_deadline_callback(
        store.ptr(), _at_deadline, None, ctypes.cast(0, _Finalizer)
    )
    store.set_epoch_deadline(1)


class Ticker:
    """Moves an engine's epoch from a thread of its own."""

    def __init__(self, engine: wasmtime.Engine, tick_s: float) -> None:
        """`tick_s`: how often."""
        self._engine, self._tick_s = engine, tick_s
        self._running: set[object] = set()
        self._began = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._tick, name="epochs", daemon=True).start()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Tick as long as this call runs."""
        call = object()
        self._running.add(call)
        if not self._began.is_set():
            self._began.set()
        try:
            yield
        finally:
            self._running.discard(call)

    def _tick(self) -> None:
        left = 0
        while True:
            left = _AWAKE_TICKS if self._running else left - 1
            if left <= 0:
                self._began.clear()
                if not self._running:
                    self._began.wait()
                continue
            time.sleep(self._tick_s)
            self._engine.increment_epoch()


def _look(_context: Any, _data: Any, ticks: Any, kind: Any) -> int:
    try:
        call = calls.running()
        goes_on = call is None or call.meter.look()
    except Exception:  # noqa: BLE001 - nothing may leave a callback of C
        goes_on = False
    if goes_on:
        ticks[0], kind[0] = 1, _CONTINUE
        return 0
    error = c.wasmtime_error_new(ctypes.create_string_buffer(b"the call has to end"))
    return ctypes.cast(error, ctypes.c_void_p).value or 0


_at_deadline = _Callback(_look)
