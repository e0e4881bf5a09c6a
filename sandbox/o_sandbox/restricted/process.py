"""A worker seen from outside: a child process on a socket, that runs one call at a time.

Nothing it says is trusted: frames are bounded and typed, grants and counts are checked again here,
time and memory are measured by the kernel's clocks of that process.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from o_sandbox.jail import LayerName
from o_sandbox.limits import Limits
from o_sandbox.outcome import HostCall, Outcome, Reason, Used
from o_sandbox.protocol import (
    Grants,
    HostCallError,
    OnOutput,
    SandboxError,
    SandboxUnavailableError,
)
from o_sandbox.restricted import wire
from o_sandbox.tool import Tool

START_TIMEOUT_S: Final = 30.0
_ROOM_BYTES: Final = 64 * 1024
"""Above the output limit, for the frame around it and the error text."""
_WORN_BYTES: Final = 64 * 1024 * 1024
"""A worker that holds this much more than at its start is replaced."""
_PAGE: Final = resource.getpagesize()


class WorkerDiedError(Exception):
    """The worker's end of the socket closed."""


class _Frames(asyncio.Protocol):
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self.limit = _ROOM_BYTES
        self._buffer = bytearray()
        self._messages: deque[wire.FromWorker] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            self._cut()
        except (msgspec.MsgspecError, ValueError) as error:
            self._fail(error)
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(WorkerDiedError())
        self._wake()

    async def next(self) -> wire.FromWorker:
        """The next message.

        Raises:
            WorkerDiedError: there will be none.
            ValueError: what arrived is no message, or longer than `limit`.
        """
        while not self._messages:
            if self._failure is not None:
                raise self._failure
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._messages.popleft()

    def _cut(self) -> None:
        size = wire.HEADER.size
        while len(self._buffer) >= size and self._failure is None:
            (length,) = wire.HEADER.unpack_from(self._buffer)
            if length > self.limit:
                raise ValueError(f"a frame of {length} bytes, more than {self.limit}")
            if len(self._buffer) < size + length:
                return
            self._messages.append(wire.from_worker.decode(self._buffer[size : size + length]))
            del self._buffer[: size + length]

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Worker:
    """Use `Worker.start()`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        transport: asyncio.WriteTransport,
        frames: _Frames,
    ) -> None:
        """Made by `start`."""
        self._process = process
        self._transport = transport
        self._frames = frames
        self._memory = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._clock = (~process.pid << 3) | 2  # that process's CPU clock, clock_getcpuclockid(3)
        self._own_bytes = 0
        self._end_cpu_s: float | None = None
        self.missing_layers: list[str] = []
        self.is_usable = True

    @classmethod
    async def start(cls, required: frozenset[LayerName]) -> Worker:
        """Start a process and wait until it is in its jail.

        Raises:
            SandboxUnavailableError: the machine lacks a required layer.
            SandboxError: the process does not come up.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = _spawn(theirs, required)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, frames = await loop.create_connection(_Frames, sock=ours)
        worker = cls(process, transport, frames)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await worker._welcome()
        except BaseException:
            worker.end()
            raise
        return worker

    async def run(
        self,
        tool: Tool,
        args: Mapping[str, Any],
        limits: Limits,
        grants: Grants,
        seed: int,
        on_output: OnOutput | None,
    ) -> Outcome:
        """Run one call; afterwards `is_usable` says whether the worker may run another."""
        run = _Run(self, limits, grants, on_output)
        request = _request(tool, args, limits, grants, seed, stream=on_output is not None)
        self._frames.limit = limits.output_bytes * 2 + _ROOM_BYTES
        self.is_usable = False
        try:
            async with asyncio.timeout(limits.wall_s):
                outcome = await run.play(request)
        except TimeoutError:
            self._process.kill()
            self._reap()
            outcome = run.ended("timeout", f"no result within {limits.wall_s:g} s")
        except WorkerDiedError:
            outcome = run.ended(*self._cause_of_death(limits))
        except ValueError as error:  # malformed frames, or JSON
            outcome = run.ended("trap", f"the worker sent a corrupt reply: {error}")
        else:
            self.is_usable = outcome.used.memory_bytes < _WORN_BYTES
        return outcome

    def end(self) -> None:
        """Kill the process and collect its status."""
        self.is_usable = False
        self._transport.abort()
        self._process.kill()
        self._reap()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def send(self, message: wire.ToWorker) -> None:
        """Send one message."""
        self._transport.write(wire.framed(message))

    async def receive(self) -> wire.FromWorker:
        """The next message; see `_Frames.next`."""
        return await self._frames.next()

    def cpu_s(self) -> float:
        """CPU seconds of the process so far, or in all once it was reaped."""
        if self._end_cpu_s is not None:
            return self._end_cpu_s
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # it is gone and not yet reaped
            return 0.0

    def grown_bytes(self) -> int:
        """Resident memory above what the worker had at its start."""
        return max(0, self._resident_bytes() - self._own_bytes)

    def _resident_bytes(self) -> int:
        try:
            return int(os.pread(self._memory, 128, 0).split()[1]) * _PAGE
        except (OSError, IndexError):  # it ended
            return 0

    async def _welcome(self) -> None:
        try:
            message = await self._frames.next()
        except WorkerDiedError:
            code = self._reap()
            raise SandboxError(f"a worker of the tier `restricted` ended with {code}") from None
        if isinstance(message, wire.Refused):
            raise SandboxUnavailableError(message.reason)
        if not isinstance(message, wire.Ready):
            raise SandboxError(f"a worker began with {type(message).__name__}")
        self.missing_layers = message.missing
        self._own_bytes = self._resident_bytes()

    def _reap(self) -> int:
        """The exit code of a process that ended or is about to."""
        if self._process.returncode is None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._end_cpu_s = usage.ru_utime + usage.ru_stime
        return self._process.returncode

    def _cause_of_death(self, limits: Limits) -> tuple[Reason, str]:
        code = self._reap()
        if code == -signal.SIGPROF:
            return "timeout", f"the tool used its {limits.cpu_s:g} s of CPU"
        if code == -signal.SIGKILL:
            return "memory", "the kernel killed the worker; the machine is short of memory"
        return "trap", f"the worker ended with {code}"


class _Run:
    """One call, from the request to the outcome."""

    def __init__(
        self, worker: Worker, limits: Limits, grants: Grants, on_output: OnOutput | None
    ) -> None:
        self._worker = worker
        self._limits = limits
        self._grants = grants
        self._on_output = on_output
        self._streamed: list[str] = []
        self._streamed_bytes = 0
        self._calls: list[HostCall] = []
        self._started = time.perf_counter()
        self._cpu_s = worker.cpu_s()

    async def play(self, request: wire.Start) -> Outcome:
        """Talk with the worker until the call is done."""
        self._worker.send(request)
        while True:
            message = await self._worker.receive()
            if isinstance(message, wire.Done):
                return self._outcome(message)
            if isinstance(message, wire.Call):
                self._worker.send(await self._answer(message))
            elif isinstance(message, wire.Output):
                self._stream(message.text)
            else:
                raise ValueError(f"{type(message).__name__} during a call")

    def ended(self, reason: Reason, error: str) -> Outcome:
        """The outcome of a call whose worker cannot say it."""
        text = "".join(self._streamed)
        return Outcome(reason, None, error, text, "", self._used(len(text)), self._calls)

    def _outcome(self, done: wire.Done) -> Outcome:
        reason = msgspec.convert(done.reason, Reason)
        value = json.loads(done.value) if reason == "ok" else None
        size = len(done.stdout) + len(done.value)
        return Outcome(reason, value, done.error, done.stdout, "", self._used(size), self._calls)

    def _used(self, output_bytes: int) -> Used:
        return Used(
            wall_s=time.perf_counter() - self._started,
            cpu_s=max(0.0, self._worker.cpu_s() - self._cpu_s),
            memory_bytes=self._worker.grown_bytes(),
            output_bytes=output_bytes,
            host_calls=len(self._calls),
        )

    def _stream(self, text: str) -> None:
        self._streamed_bytes += len(text)
        if self._on_output is None or self._streamed_bytes > self._limits.output_bytes:
            raise ValueError("output that nobody asked for")
        self._streamed.append(text)
        self._on_output("stdout", text)

    async def _answer(self, call: wire.Call) -> wire.Answer:
        function = self._grants.get(call.name)
        started = time.perf_counter()
        if function is None:
            return self._record(call.name, "denied", started, "no grant")
        if len(self._calls) >= self._limits.host_calls:
            return self._record(call.name, "denied", started, "too many host calls")
        arguments = msgspec.json.decode(call.arguments, type=dict[str, Any])
        try:
            value = json.dumps(await function(arguments)).encode()
        except HostCallError as error:
            return self._record(call.name, "error", started, str(error) or "it failed")
        except (TimeoutError, asyncio.CancelledError):
            self._record(call.name, "error", started, "it did not end in time")
            raise
        except Exception as error:
            raise SandboxError(f"the host function {call.name!r} failed: {error!r}") from error
        self._record(call.name, "ok", started, "")
        return wire.Answer(value)

    def _record(self, name: str, outcome: Any, started: float, detail: str) -> wire.Answer:
        wall_s = time.perf_counter() - started
        self._calls.append(HostCall(name[:200], outcome, wall_s, detail))
        return wire.Answer(error=detail)


def _request(
    tool: Tool, args: Mapping[str, Any], limits: Limits, grants: Grants, seed: int, *, stream: bool
) -> wire.Start:
    if tool.language != "python" or not isinstance(tool.code, str):
        raise SandboxError(f"the tier `restricted` runs Python source, not {tool.language}")
    given = json.dumps(dict(args)).encode()
    if len(tool.code) + len(given) > wire.MAX_REQUEST_BYTES:
        raise SandboxError(f"source and arguments are over {wire.MAX_REQUEST_BYTES} bytes")
    return wire.Start(
        tool.code,
        tool.entry,
        given,
        seed,
        limits.cpu_s,
        limits.memory_bytes,
        limits.output_bytes,
        limits.host_calls,
        sorted(grants),
        stream,
    )


def _spawn(theirs: socket.socket, required: frozenset[LayerName]) -> subprocess.Popen[bytes]:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.argv = ['-', *sys.argv[1:]]; import runpy; "
        "runpy.run_module('o_sandbox.restricted.worker', run_name='__main__')"
    )
    descriptor = theirs.fileno()
    command = [
        sys.executable, "-s", "-P", "-c", program, str(descriptor),
        msgspec.json.encode(sorted(required)).decode(),
    ]  # fmt: skip
    try:
        return subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            cwd="/",
            env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"a worker of the tier `restricted` cannot start: {error}") from error
