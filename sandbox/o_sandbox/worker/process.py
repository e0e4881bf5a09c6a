"""A worker seen from outside: a child process on a socket, that runs one call at a time.

Nothing it says is trusted: frames are bounded and typed; time and memory are those that the kernel
accounts to the process.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct

from o_sandbox.alarm import Alarm
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome, Reason
from o_sandbox.protocol import Grants, OnOutput, SandboxError, SandboxUnavailableError
from o_sandbox.worker import wire
from o_sandbox.worker.call import Call, DeniedError
from o_sandbox.worker.frames import ROOM_BYTES, Frames, WorkerDiedError
from o_sandbox.worker.watch import Watch

START_TIMEOUT_S: Final = 30.0
_WORN_BYTES: Final = 8 * 1024 * 1024
"""A worker that holds this much more than at its start is replaced."""
_LEAVING_S: Final = 0.2
"""How long a process that closed its socket may take to end."""
_PAGE: Final = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Program:
    """A worker runs `main` of a module, given the socket's descriptor and `options` as JSON."""

    module: str
    options: Struct
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"


class Worker:
    """Use `Worker.start()`."""

    def __init__(
        self, process: subprocess.Popen[bytes], transport: asyncio.WriteTransport, frames: Frames
    ) -> None:
        """Made by `start`."""
        self._process = process
        self._transport = transport
        self._frames = frames
        self._memory = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._clock = (~process.pid << 3) | 2  # that process's CPU clock, clock_getcpuclockid(3)
        self._alarm = Alarm()
        self._own_bytes = 0
        self._end_cpu_s: float | None = None
        self.missing_layers: list[str] = []
        self.is_usable = True

    @classmethod
    async def start(cls, program: Program) -> Worker:
        """Start a process and wait until it is in its jail.

        Raises:
            SandboxUnavailableError: the machine lacks a required layer.
            SandboxError: the process does not come up.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = _spawn(theirs, program)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, frames = await loop.create_connection(Frames, sock=ours)
        worker = cls(process, transport, frames)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await worker._welcome()
        except BaseException:
            worker.end()
            raise
        return worker

    async def run(
        self, start: wire.Start, limits: Limits, grants: Grants, on_output: OnOutput | None
    ) -> Outcome:
        """Run one call; afterwards `is_usable` says whether the worker may run another.

        Raises:
            SandboxError: a host function failed.
        """
        call = Call(self, limits, grants, on_output)
        self._frames.limit = limits.output_bytes * 2 + ROOM_BYTES
        self.is_usable = False
        expire = self._frames.expire
        Watch(self._alarm, limits.cpu_s, call.deadline, call.cpu_s, expire, self._kill)
        try:
            try:
                outcome = await call.play(start)
            finally:
                self._alarm.off()
        except TimeoutError:
            self._kill()
            self._reap()
            outcome = call.ended("timeout", f"no result within {limits.wall_s:g} s")
        except WorkerDiedError:
            has_left = await self._leaves()
            outcome = call.ended(*self._cause_of_death(limits, call, has_left=has_left))
        except DeniedError as error:
            outcome = call.ended("denied", str(error))
        except (ValueError, RecursionError) as error:  # malformed frames, or JSON
            outcome = call.ended("trap", f"the worker sent a corrupt reply: {error}")
        else:
            self.is_usable = outcome.used.memory_bytes < _WORN_BYTES
        return outcome

    def end(self) -> None:
        """Kill the process and collect its status."""
        self.is_usable = False
        self._alarm.cancel()
        self._transport.abort()
        self._kill()
        self._reap()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def send(self, message: wire.ToWorker) -> None:
        """Send one message."""
        self._transport.write(wire.framed(message))

    async def receive(self) -> wire.FromWorker:
        """The next message; see `Frames.next`."""
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
            raise SandboxError(f"a worker ended with {self._reap()} at its start") from None
        if isinstance(message, wire.Refused):
            raise SandboxUnavailableError(message.reason)
        if not isinstance(message, wire.Ready):
            raise SandboxError(f"a worker began with {type(message).__name__}")
        self.missing_layers = message.missing
        self._own_bytes = self._resident_bytes()

    def _kill(self) -> None:
        """End the process, without collecting its status: what it used is told with that."""
        if self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)

    def _reap(self) -> int:
        """The exit code of a process that ended or is about to."""
        if self._process.returncode is None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._end_cpu_s = usage.ru_utime + usage.ru_stime
        return self._process.returncode

    async def _leaves(self) -> bool:
        """Whether the process ends, now that its socket is closed; a guest may do just that."""
        ended = asyncio.Event()
        descriptor = os.pidfd_open(self._process.pid)
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(_LEAVING_S):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self._kill()
        return True

    def _cause_of_death(self, limits: Limits, call: Call, *, has_left: bool) -> tuple[Reason, str]:
        code = self._reap()
        if code in (-signal.SIGPROF, -signal.SIGXCPU) or call.cpu_s() >= limits.cpu_s:
            return "timeout", f"the tool used its {limits.cpu_s:g} s of CPU"
        if not has_left:
            return "trap", "the worker closed its connection and went on"
        if code == -signal.SIGKILL:
            return "memory", "the kernel killed the worker; the machine is short of memory"
        return "trap", f"the worker ended with {code}"


def _spawn(theirs: socket.socket, program: Program) -> subprocess.Popen[bytes]:
    source = f"import sys; sys.path[:] = {sys.path!r}; from {program.module} import main; main()"
    descriptor = theirs.fileno()
    options = msgspec.json.encode(program.options).decode()
    try:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-s", "-P", "-c", source, str(descriptor), options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            cwd=program.folder,
            env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **program.environment},
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"the worker {program.module} cannot start: {error}") from error
