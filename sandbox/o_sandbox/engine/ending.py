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
        try:
            said = _reply(reply)
        except (msgspec.MsgspecError, RecursionError) as error:
            return cls("trap", error=f"the tool's reply cannot be read: {error}")
        if said.error is not None:
            return _failed(said.error, meter)
        if not meter.add_output(len(reply)):
            return cls("output", error=f"more than {meter.limits.output_bytes} bytes of output")
        return cls("ok", value=said.ok)


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


def _failed(failure: _Failure, meter: Meter) -> Ended:
    if failure.type in _MEMORY_ERRORS:
        limit = meter.limits.memory_bytes
        return Ended("memory", error=f"more than {limit} bytes of memory\n{failure.traceback}")
    return Ended("error", error=failure.traceback or f"{failure.type}: {failure.message}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "the guest trapped")[:_SENTENCE_CHARS]


_decoder: Final = msgspec.json.Decoder(_Reply)


def _reply(text: str) -> _Reply:
    return _decoder.decode(text)
