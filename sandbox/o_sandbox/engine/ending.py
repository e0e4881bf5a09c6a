"""How a call ended, from what Wasmtime raised or what the guest replied.

A reply is the guest's word: it is checked for its form, and its size counts as output.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import wasmtime
from msgspec import Struct

from o_sandbox.engine.meter import Meter
from o_sandbox.outcome import Reason

_MEMORY_ERRORS: Final = frozenset({"MemoryError"})
_SENTENCE_CHARS: Final = 500
_TRACEBACK_CHARS: Final = 16 * 1024
_ERROR_ROOM: Final = 64 * 1024
"""What a reply may be longer than the limit of output, for the form around it or an error."""


class Ended(Struct, frozen=True):
    """The end of a call, without what it used."""

    reason: Reason
    value: Any = None
    error: str = ""

    @classmethod
    def from_reply(cls, reply: str, meter: Meter) -> Ended:
        """What a guest's reply means."""
        if meter.stop is not None:
            return cls(meter.stop.reason, error=meter.stop.sentence)
        size = len(reply.encode())
        if size > meter.limits.output_bytes + _ERROR_ROOM:
            return _with_output(size, meter, None)
        try:
            said = _reply(reply)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return cls("trap", error=f"the tool's reply cannot be read: {error}")
        if said.error is not None:
            return _failed(said.error, meter)
        return _with_output(size, meter, said.ok)


class _Failure(Struct, frozen=True):
    type: str
    message: str = ""
    traceback: str = ""


class _Reply(Struct, frozen=True, forbid_unknown_fields=True):
    ok: Any = None
    error: _Failure | None = None


def ended_by(error: Exception, meter: Meter) -> Ended:
    """What an error out of Wasmtime means: the meter's will, an exit, or a trap."""
    if meter.stop is not None:
        return Ended(meter.stop.reason, error=meter.stop.sentence)
    if isinstance(error, wasmtime.ExitTrap):
        return Ended("trap", error=f"the tool ended its interpreter with status {error.code}")
    return Ended("trap", error=_last_line(str(error)))


def _with_output(size: int, meter: Meter, value: Any) -> Ended:
    """The end with a value, unless the reply that holds it is over the limit of output."""
    if meter.add_output(size):
        return Ended("ok", value=value)
    return Ended("output", error=f"more than {meter.limits.output_bytes} bytes of output")


def _failed(failure: _Failure, meter: Meter) -> Ended:
    told = failure.traceback or f"{failure.type}: {failure.message}"
    if failure.type in _MEMORY_ERRORS:
        limit = meter.limits.memory_bytes
        told = f"more than {limit} bytes of memory\n{failure.traceback}"
    reason: Reason = "memory" if failure.type in _MEMORY_ERRORS else "error"
    return Ended(reason, error=told[:_TRACEBACK_CHARS])


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "the guest trapped")[:_SENTENCE_CHARS]


_decoder: Final = msgspec.json.Decoder(_Reply)


def _reply(text: str) -> _Reply:
    return _decoder.decode(text)
