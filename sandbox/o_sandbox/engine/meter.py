"""What one call has used, and when it has had enough.

The engine's epoch moves every tick; a running guest is then asked, on its own thread, whether it
may go on (`Meter.look`). CPU time is the thread's, so a busy machine takes nothing from a tool's
budget, and waiting for the host costs wall time only. A guest that must stop is stopped by an
error out of Wasmtime; why is written here, since the bindings keep exceptions in one place for all
threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from o_sandbox.limits import Limits
from o_sandbox.outcome import Reason, Used


@dataclass(slots=True)
class Stop:
    """Why a call has to end."""

    reason: Reason
    sentence: str


@dataclass(slots=True)
class Meter:
    """The use of one call; made on the thread that runs it."""

    limits: Limits
    is_abandoned: Callable[[], bool]
    resident: Callable[[], int]
    started: float = field(default_factory=time.perf_counter)
    cpu_started: float = field(default_factory=time.thread_time)
    output_bytes: int = 0
    host_calls: int = 0
    stop: Stop | None = None
    _resident_before: int = 0

    def __post_init__(self) -> None:
        """Look at the memory before the guest has any."""
        self._resident_before = self.resident()

    @property
    def wall_left_s(self) -> float:
        """Seconds until the call must be over."""
        return self.limits.wall_s - (time.perf_counter() - self.started)

    def look(self) -> bool:
        """Whether the guest may go on."""
        if self.stop is None:
            self.stop = self._exhausted()
        return self.stop is None

    def end(self, reason: Reason, sentence: str) -> None:
        """Have the call end for this reason, unless it has to end for another one already."""
        if self.stop is None:
            self.stop = Stop(reason, sentence)

    def add_output(self, size: int) -> bool:
        """Count bytes of output; whether they are still within the limit."""
        self.output_bytes += size
        if self.output_bytes > self.limits.output_bytes:
            self.end("output", f"more than {self.limits.output_bytes} bytes of output")
        return self.stop is None

    def add_host_call(self) -> bool:
        """Count a call of the host; whether it is still within the limit."""
        self.host_calls += 1
        if self.host_calls > self.limits.host_calls:
            self.end("denied", f"the tool called the host more than {self.limits.host_calls} times")
        return self.stop is None

    def used(self) -> Used:
        """What it has used until now."""
        return Used(
            wall_s=time.perf_counter() - self.started,
            cpu_s=time.thread_time() - self.cpu_started,
            memory_bytes=max(0, self.resident() - self._resident_before),
            output_bytes=min(self.output_bytes, self.limits.output_bytes),
            host_calls=min(self.host_calls, self.limits.host_calls),
        )

    def _exhausted(self) -> Stop | None:
        if self.wall_left_s <= 0:
            return Stop("timeout", f"not done after {self.limits.wall_s:g} s")
        if time.thread_time() - self.cpu_started > self.limits.cpu_s:
            return Stop("timeout", f"used more than {self.limits.cpu_s:g} s of CPU time")
        if self.is_abandoned():
            return Stop("timeout", "the caller went away")
        return None
