"""Calls an engine from asyncio: a connection per call at a time, kept for the next one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from o_sandbox.alarm import Alarm
from o_sandbox.limits import Limits
from o_sandbox.outcome import HostCall, Outcome
from o_sandbox.protocol import Channel, Grants, HostCallError, OnOutput, SandboxError
from o_sandbox.wire import Answer, Ask, Done, FrameError, Frames, FromEngine, Output, Run, frame

_CHUNK: Final = 32 * 1024
_GRACE_S: Final = 5.0
"""How much longer than its wall time a call may take before its engine counts as hung."""
_CHANNELS: Final[tuple[Channel, Channel]] = ("stdout", "stderr")


class EngineGoneError(SandboxError):
    """The engine ended, or closed the connection, before it answered."""

    def __init__(self, message: str, *, is_repeatable: bool) -> None:
        """`is_repeatable`: nothing had happened outside the guest yet."""
        super().__init__(message)
        self.is_repeatable = is_repeatable


class EngineHungError(SandboxError):
    """The engine kept a call far longer than its wall time."""


class EngineClient:
    """Connections to one engine's socket."""

    def __init__(self, path: Path, calls: int) -> None:
        """At most `calls` at once; more wait."""
        self._path = path
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(calls)
        self.active = 0

    async def run(self, run: Run, grants: Grants, on_output: OnOutput | None) -> Outcome:
        """Make one call.

        Raises:
            EngineGoneError: it ended in the middle.
            EngineHungError: it does not answer.
            SandboxError: a host function failed.
        """
        self.active += 1
        try:
            async with self._room:
                return await self._run(run, grants, on_output)
        finally:
            self.active -= 1

    def close(self) -> None:
        """Hang up everywhere."""
        while self._idle:
            self._idle.pop().close()

    async def _run(self, run: Run, grants: Grants, on_output: OnOutput | None) -> Outcome:
        connection = await self._connected()
        conversation = _Conversation(connection, grants, run.limits, on_output)
        connection.expire_in(run.limits.wall_s + _GRACE_S)
        try:
            outcome = await conversation.outcome(run)
        except _ExpiredError:
            connection.close()
            raise EngineHungError(f"the engine did not end {run.name} in time") from None
        except (OSError, FrameError) as error:
            connection.close()
            raise EngineGoneError(
                f"the engine went away while it ran {run.name}: {error}",
                is_repeatable=not conversation.calls,
            ) from error
        except BaseException:
            connection.close()
            raise
        connection.rest()
        self._idle.append(connection)
        return outcome

    async def _connected(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        try:
            _, made = await loop.create_unix_connection(_Connection, str(self._path))
        except OSError as error:
            raise EngineGoneError(
                f"no engine at {self._path}: {error}", is_repeatable=True
            ) from error
        return made


class _ExpiredError(Exception):
    """The time of a connection's call is over."""


class _Connection(asyncio.BufferedProtocol):
    """Frames from the engine, in order."""

    def __init__(self) -> None:
        self._frames: Frames[FromEngine] = Frames(FromEngine)
        self._read = bytearray(_CHUNK)
        self._waiting: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._alarm = Alarm()
        self._lost: Exception | None = None

    @property
    def is_open(self) -> bool:
        return self._lost is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        self._frames.feed(memoryview(self._read)[:nbytes])
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(ConnectionResetError(str(error or "the engine closed the connection")))

    def expire_in(self, seconds: float) -> None:
        """Be lost then, unless the call has ended."""
        due = asyncio.get_running_loop().time() + seconds
        self._alarm.set(due, lambda: self._lose(_ExpiredError()))

    def rest(self) -> None:
        """The call has ended, and another may follow."""
        self._alarm.off()

    def send(self, message: msgspec.Struct) -> None:
        if self._transport is None or self._lost is not None:
            raise ConnectionResetError("the connection to the engine is closed")
        self._transport.write(frame(message))

    async def receive(self) -> FromEngine:
        while (message := self._frames.next()) is None:
            if self._lost is not None:
                raise self._lost
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return message

    def close(self) -> None:
        self._alarm.cancel()
        self._lost = self._lost or ConnectionResetError("closed here")
        if self._transport is not None:
            self._transport.abort()

    def _lose(self, error: Exception) -> None:
        self._lost = self._lost or error
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class _Conversation:
    """One call over a connection."""

    def __init__(
        self, connection: _Connection, grants: Grants, limits: Limits, on_output: OnOutput | None
    ) -> None:
        self._connection, self._grants, self._limits = connection, grants, limits
        self._on_output = on_output
        self._printed: dict[Channel, list[str]] = {channel: [] for channel in _CHANNELS}
        self._left = limits.output_bytes
        self.calls: list[HostCall] = []

    async def outcome(self, run: Run) -> Outcome:
        self._connection.send(run)
        message = await self._connection.receive()
        while not isinstance(message, Done):
            if isinstance(message, Output):
                self._print(message)
                message = await self._connection.receive()
            else:
                message = await self._met(message)
        return self._ended(message)

    def _ended(self, done: Done) -> Outcome:
        said, value = done.outcome, None
        reason, error = said.reason, said.error
        try:
            value = msgspec.json.decode(done.value)
        except (msgspec.MsgspecError, ValueError, RecursionError) as cause:
            reason, error = "trap", f"the tool's value cannot be read: {cause}"
        stdout, stderr = ("".join(self._printed[channel]) for channel in _CHANNELS)
        return Outcome(reason, value, error, stdout, stderr, said.used, self.calls)

    def _print(self, output: Output) -> None:
        if not output.text:
            raise FrameError("output of no bytes")
        text = output.text[: self._left]
        self._left -= len(text)
        channel: Channel = "stderr" if output.channel == "stderr" else "stdout"
        self._printed[channel].append(text)
        if self._on_output is not None and text:
            self._on_output(channel, text)

    async def _met(self, ask: Ask) -> FromEngine:
        """Answer, unless the call ends before the answer is there; the message after it."""
        answering = asyncio.ensure_future(self._answer(ask))
        following = asyncio.ensure_future(self._connection.receive())
        try:
            await asyncio.wait({answering, following}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                self._connection.send(answering.result())
            return await following
        finally:
            following.cancel()
            answering.cancel()

    async def _answer(self, ask: Ask) -> Answer:
        if len(self.calls) > self._limits.host_calls:
            raise FrameError("more host calls than the limit")
        started = time.perf_counter()
        answer, outcome = await self._called(ask)
        took = time.perf_counter() - started
        self.calls.append(HostCall(ask.name, outcome, took, "" if answer.ok else answer.content))
        return answer

    async def _called(self, ask: Ask) -> tuple[Answer, Any]:
        function = self._grants.get(ask.name)
        if function is None:
            said = f"the tool called `{ask.name}`, which it has no grant for"
            return Answer(False, said, denied=True), "denied"
        if len(self.calls) >= self._limits.host_calls:
            return Answer(False, "too many calls of the host", denied=True), "denied"
        try:
            arguments = msgspec.json.decode(ask.arguments, type=dict[str, Any])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return Answer(False, f"these are no keyword arguments: {error}"), "error"
        try:
            value = await function(arguments)
        except HostCallError as error:
            return Answer(False, str(error)), "error"
        except SandboxError:
            raise
        except Exception as error:
            raise SandboxError(f"the host function {ask.name!r} failed: {error!r}") from error
        answer = _answered(value)
        return answer, "ok" if answer.ok else "error"


def _answered(value: Any) -> Answer:
    """A host function's value on its way to the guest, who may have sent most of it.

    Raises:
        SandboxError: it is not JSON-ready.
    """
    try:
        return Answer(True, msgspec.json.encode(value).decode())
    except (RecursionError, UnicodeError) as error:
        return Answer(False, f"the answer cannot be sent: {error}")
    except (TypeError, ValueError) as error:
        raise SandboxError(f"a host function's value is not JSON-ready: {error}") from error
