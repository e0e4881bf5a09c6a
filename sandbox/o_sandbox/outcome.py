"""How a call of a tool ended. A guest's failure is an outcome; the host's is an exception."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Reason = Literal["ok", "error", "timeout", "memory", "output", "denied", "trap"]
"""`error`: the tool raised; `denied`: it asked for what it has no grant for; `trap`: the machine
stopped it (an illegal instruction of the guest, an exit, a corrupt reply). The others name the
limit that was reached (`timeout`: wall or CPU)."""


class Used(Struct, frozen=True):
    """What a call used, measured by the host. `memory_bytes` is the guest's peak."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    memory_bytes: int = 0
    output_bytes: int = 0
    host_calls: int = 0


class HostCall(Struct, frozen=True):
    """One call of the host, for the audit. `outcome`: `ok`, `error` or `denied`."""

    name: str
    outcome: Literal["ok", "error", "denied"]
    wall_s: float
    detail: str = ""


class Outcome(Struct, frozen=True):
    """The end of one call.

    `value` is JSON-ready, None unless `reason` is `ok`. `error` is a sentence, with the guest's
    traceback for `error`. `stdout` and `stderr` are cut at the limit.
    """

    reason: Reason
    value: Any = None
    error: str = ""
    stdout: str = ""
    stderr: str = ""
    used: Used = Used()
    calls: list[HostCall] = []

    @property
    def is_ok(self) -> bool:
        """Whether there is a value."""
        return self.reason == "ok"
