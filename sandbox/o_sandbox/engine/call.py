"""The call that a thread is running, as the functions that its guest imports see it.

Those functions must never raise anything but `WasmtimeError`: the bindings keep every other
exception in one place for all threads, where another call would find it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import msgspec
import wasmtime

from o_sandbox.engine.entropy import Chance, Clock
from o_sandbox.engine.meter import Meter
from o_sandbox.engine.scratch import PREFIX, Scratch, ScratchError
from o_sandbox.limits import Limits
from o_sandbox.protocol import SCRATCH
from o_sandbox.wire import Answer, Ask, Output, Run

SLEEP: Final = "o.sleep"
_MAX_NAME: Final = 100
_LONGEST_SLEEP_S: Final = 1e6
_ARGUMENT_ROOM: Final = 64 * 1024
"""Arguments of a call of the host may be this much longer than twice the limit of output."""


class Caller:
    """Who made the call: takes output, answers what the guest asks."""

    def __init__(
        self,
        output: Callable[[Output], None],
        ask: Callable[[Ask, float], Answer | None],
        is_gone: Callable[[], bool],
    ) -> None:
        """`ask` waits this many seconds for an answer at most; None: there was none by then."""
        self.output, self.ask, self.is_gone = output, ask, is_gone


class Call:
    """One call while it runs."""

    def __init__(self, run: Run, meter: Meter, caller: Caller) -> None:
        """Made on the thread that runs it."""
        self.run, self.meter = run, meter
        self._caller = caller
        self.chance, self.clock = Chance(run.seed), Clock(run.now_ns)
        self._scratch = Scratch(run.limits.scratch_bytes) if run.scratch else None
        self._afterwards: list[Callable[[], None]] = []

    def afterwards(self, clear_up: Callable[[], None]) -> None:
        """Have this done once the answer is on its way."""
        self._afterwards.append(clear_up)

    def leave(self) -> None:
        """The answer is on its way, or nobody takes it."""
        while self._afterwards:
            self._afterwards.pop()()

    def emit(self, channel: str, text: str) -> None:
        """Pass on a piece of output, as far as the limit lets it.

        Raises:
            WasmtimeError: the limit is reached.
        """
        left = self.meter.limits.output_bytes - self.meter.output_bytes
        piece = text.encode()
        kept = piece[: max(0, left)].decode(errors="ignore")
        if kept and channel in ("stdout", "stderr"):
            self._caller.output(Output(channel, kept))
        if not self.meter.add_output(len(piece)):
            raise wasmtime.WasmtimeError("too much output")

    def ask(self, name: str, arguments: str) -> Answer:
        """Let the caller answer a call of the host, or the scratch folder one of its own.

        Raises:
            WasmtimeError: the call has to end.
        """
        if name.startswith(PREFIX):
            if self._scratch is not None:
                return _kept(self._scratch, name, arguments)
            name, arguments = SCRATCH, "{}"  # so that the caller denies, and records it
        if not self.meter.add_host_call():
            raise wasmtime.WasmtimeError("too many calls of the host")
        if not 0 < len(name) <= _MAX_NAME:
            return Answer(False, "that is no name of a capability")
        most = 2 * self.meter.limits.output_bytes + _ARGUMENT_ROOM
        if len(arguments) > most:
            return Answer(False, f"arguments of {len(arguments)} bytes are over {most}")
        answer = self._caller.ask(Ask(name, arguments), self.meter.wall_left_s)
        if answer is None:
            self.meter.look()
            raise wasmtime.WasmtimeError("no answer in time")
        if answer.denied:
            self.meter.end("denied", answer.content)
            raise wasmtime.WasmtimeError("denied")
        if answer.ok and name == SLEEP:
            self.clock.advance(_seconds(arguments))
        return answer

    def refuse_wait(self) -> wasmtime.WasmtimeError:
        """End the call since the guest wants to block; the error to raise."""
        said = f"the tool blocks; wait with `o.sleep`, which needs the grant `{SLEEP}`"
        self.meter.end("denied", said)
        return wasmtime.WasmtimeError("blocking wait")


def rehearsal() -> Call:
    """What a guest's own code runs in before its call: the same chance and time for all guests."""
    nobody = Caller(lambda _output: None, lambda _ask, _patience_s: None, lambda: False)
    return Call(_REHEARSAL, Meter(_REHEARSAL.limits, nobody.is_gone, lambda: 0), nobody)


def _kept(scratch: Scratch, name: str, arguments: str) -> Answer:
    try:
        return Answer(True, scratch.answer(name, arguments))
    except ScratchError as error:
        return Answer(False, str(error))


def current() -> Call:
    """The call of this thread.

    Raises:
        WasmtimeError: it runs none.
    """
    call = running()
    if call is None:
        raise wasmtime.WasmtimeError("no call runs on this thread")
    return call


def running() -> Call | None:
    """The call of this thread; None while an instance is made."""
    return getattr(_thread, "call", None)


def set_current(call: Call | None) -> None:
    """Say which call this thread runs from now on."""
    _thread.call = call


def _seconds(arguments: str) -> float:
    try:
        seconds = msgspec.json.decode(arguments, type=_Sleep).seconds
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return 0.0
    return min(seconds, _LONGEST_SLEEP_S)


class _Sleep(msgspec.Struct):
    seconds: float = 0.0


_REHEARSAL: Final = Run(
    name="rehearsal", language="python", code=b"", function="double", arguments='{"x": 21}',
    limits=Limits(wall_s=60.0, cpu_s=60.0), seed=b"rehearsal", now_ns=0,
)  # fmt: skip
_thread: Final = threading.local()
