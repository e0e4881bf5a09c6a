"""PID 1 of an instance: owns the listening socket and keeps one worker active and one in reserve.

All heavy modules are imported here, once; workers are forked from it and share its memory. The
genome is *not* imported here: it may crash or hang, and then takes a worker with it, no more.

When the active worker dies, the spare (which has loaded the genome and is connected to the bridge)
is promoted by one byte on a pipe, and a new spare is forked. Connections that arrive in between
wait in the socket's queue, which nobody closes. A worker whose event loop stands still (code of
the genome that never returns) is killed and goes the same way. PID 1 gives up, with the reason as
its last line, when a genome cannot be loaded (exit 78) or when workers die faster than `DEATHS` in
`WINDOW_S` (exit 1); the container engine's restart policy takes over from there.

The engines of the tiers `wasm` and `module` are children of PID 1 too, each started on its first
use (`o_agent.engine`).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from o_agent.deaths import DEATHS, WINDOW_S, Intensity, describe_status
from o_agent.engine import CALLS, Engine
from o_agent.environment import Environment
from o_agent.genome import INVALID_GENOME_EXIT
from o_agent.worker import BACKLOG, DRAIN_S, GO, PULSE_S, exit_worker, run_worker
from o_sandbox.tiers import EngineSockets

READY_LIMIT_S: Final = 20.0
"""How long a genome may take to load."""
STOP_LIMIT_S: Final = DRAIN_S + 1.5
TICK_S: Final = 2 * PULSE_S
SILENT_TICKS: Final = 5
"""A worker without a pulse for so many ticks stands still. Ticks and not seconds: a container that
was paused has missed none."""
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0

_log = logging.getLogger("o_agent.zygote")


class GiveUp(Exception):
    """PID 1 ends with `code`; the message is its last line."""

    def __init__(self, code: int, message: str) -> None:
        """`code` is the exit code."""
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Worker:
    """A forked worker as PID 1 sees it.

    The first byte from `pulse_fd` says that it is ready, those that follow that its event loop
    runs; None once it has closed it. `silent_ticks` counts the ticks since the last one.
    """

    pid: int
    go_fd: int
    pulse_fd: int | None
    forked_s: float
    is_ready: bool = False
    silent_ticks: int = 0


class EnginePair(NamedTuple):
    """The engine of the tier `wasm`, and the one of `module`."""

    python: Engine
    modules: Engine


def open_listener(path: Path) -> socket.socket:
    """Listen at `path`, in place of a socket that an earlier run left behind."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class Zygote:
    """The event loop of PID 1."""

    def __init__(self, environment: Environment, listener: socket.socket) -> None:
        """Fork nothing yet."""
        self._environment = environment
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._intensity = Intensity()
        self._active: Worker | None = None
        self._spare: Worker | None = None
        self._was_ready = False
        self._pause_s = 0.0
        self._fork_at_s = 0.0
        self._tick_at_s = time.monotonic() + TICK_S
        self._is_stopping = False
        self._wake_fd, self._signal_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ)
        self._engines = EnginePair(Engine("python"), Engine("modules"))
        for engine in self._engines:
            self._selector.register(engine.listener, selectors.EVENT_READ, engine)

    def run(self) -> None:
        """Keep workers alive until told to stop.

        Raises:
            GiveUp: it makes no sense to go on.
        """
        signal.set_wakeup_fd(self._signal_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._request_stop())
        gc.collect()
        gc.freeze()
        while not self._is_stopping:
            self._reap()
            self._check_late_spare()
            self._check_pulses()
            self._fill()
            self._wait()
        self._stop()

    def _request_stop(self) -> None:
        self._is_stopping = True

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._timeout_s()):
            if key.fd == self._wake_fd:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_fd, 512)
                continue
            if isinstance(key.data, Engine):
                self._start_engine(key.data)
                continue
            for worker in (self._active, self._spare):
                if worker is not None and key.fd == worker.pulse_fd:
                    self._note_pulse(worker, key.fd)

    def _timeout_s(self) -> float:
        next_s = self._tick_at_s
        if self._spare is None:
            next_s = min(next_s, self._fork_at_s)
        elif not self._spare.is_ready:
            next_s = min(next_s, self._spare.forked_s + READY_LIMIT_S)
        return max(next_s - time.monotonic(), 0.0)

    def _note_pulse(self, worker: Worker, pulse_fd: int) -> None:
        if not os.read(pulse_fd, 512):
            self._close_pulse(worker)
            return
        worker.silent_ticks = 0
        if not worker.is_ready:
            worker.is_ready = self._was_ready = True
            self._pause_s = 0.0

    def _check_pulses(self) -> None:
        """Kill workers that stand still; the next round reaps them."""
        now = time.monotonic()
        if now < self._tick_at_s:
            return
        self._tick_at_s = now + TICK_S
        for worker in (self._active, self._spare):
            if worker is None or not worker.is_ready:
                continue
            worker.silent_ticks += 1
            if worker.silent_ticks > SILENT_TICKS:
                _log.error("worker %d stands still; it is killed", worker.pid)
                _signal(worker.pid, signal.SIGKILL)

    def _fill(self) -> None:
        """Promote the spare if there is no active worker, then see to it that there is a spare."""
        spare = self._spare
        if self._active is None and spare is not None and spare.is_ready:
            with contextlib.suppress(BrokenPipeError):  # it just died; the next round reaps it
                os.write(spare.go_fd, GO)
            self._active, self._spare = spare, None
            _log.info("worker %d is active", spare.pid, extra={"worker": spare.pid})
        if self._spare is None and time.monotonic() >= self._fork_at_s:
            self._spare = self._fork()

    def _fork(self) -> Worker | None:
        pulse_read, pulse_write = os.pipe()
        go_read, go_write = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            for fd in (pulse_read, pulse_write, go_read, go_write):
                os.close(fd)
            self._postpone_fork()
            _log.error("no worker can be forked: %s", error)
            return None
        if pid == 0:
            self._be_worker(pulse_write, go_read, (pulse_read, go_write))
        os.close(pulse_write)
        os.close(go_read)
        self._selector.register(pulse_read, selectors.EVENT_READ)
        return Worker(pid, go_write, pulse_read, time.monotonic())

    def _start_engine(self, engine: Engine) -> None:
        """A worker has connected to it, and it does not run."""
        others = [fd for other in self._engines if other is not engine for fd in other.descriptors]
        own = [self._listener.fileno(), self._selector.fileno(), *self._own_descriptors()]
        try:
            engine.start([*own, *others])
        except OSError as error:
            _log.error("no engine can be forked: %s", error)
            engine.refuse_waiting()
            return
        self._selector.unregister(engine.listener)

    def _own_descriptors(self) -> list[int]:
        """What a forked process must let go of, besides the sockets."""
        workers = [worker for worker in (self._active, self._spare) if worker]
        pipes = [fd for worker in workers for fd in (worker.go_fd, worker.pulse_fd)]
        return [*(fd for fd in pipes if fd is not None), self._wake_fd, self._signal_fd]

    def _postpone_fork(self) -> None:
        self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LAST_PAUSE_S)
        self._fork_at_s = time.monotonic() + self._pause_s

    def _be_worker(self, pulse_fd: int, go_fd: int, unused: tuple[int, ...]) -> None:
        """In the child: let go of everything that is PID 1's, then work; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            engines = [fd for engine in self._engines for fd in engine.descriptors]
            for fd in (*unused, *self._own_descriptors(), *engines):
                os.close(fd)
            sockets = EngineSockets(self._engines.python.path, self._engines.modules.path, CALLS)
            code = run_worker(self._environment, self._listener, pulse_fd, go_fd, sockets)
        except BaseException:  # noqa: BLE001 - logged at the edge of the process, which ends here
            _log.exception("the worker failed")
        finally:
            exit_worker(code)

    def _reap(self) -> None:
        """Collect what has died: workers, and orphans that the kernel gave to PID 1."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._note_death(pid, status)

    def _note_death(self, pid: int, status: int) -> None:
        if self._active is not None and pid == self._active.pid:
            worker, role = self._active, "active"
            self._active = None
        elif self._spare is not None and pid == self._spare.pid:
            worker, role = self._spare, "spare"
            self._spare = None
        else:
            self._note_engine_death(pid, status)
            return
        reason = describe_status(status)
        _log.error(
            "%s worker %d died: %s",
            role,
            pid,
            reason,
            extra={"worker": pid, "role": role, "reason": reason},
        )
        self._release(worker)
        self._judge_death(os.waitstatus_to_exitcode(status), worker.is_ready)

    def _note_engine_death(self, pid: int, status: int) -> None:
        for engine in self._engines:
            if pid == engine.pid:
                engine.note_death(describe_status(status))
                self._selector.register(engine.listener, selectors.EVENT_READ, engine)

    def _judge_death(self, code: int, was_ready: bool) -> None:
        now = time.monotonic()
        if code == INVALID_GENOME_EXIT and not self._was_ready:
            raise GiveUp(code, "the genome cannot be loaded; see the line above")
        if not was_ready and self._active is not None:
            # Turns are being served: a spare that cannot start must not end that.
            self._postpone_fork()
            return
        self._fork_at_s = now
        if self._intensity.is_exceeded(now):
            raise GiveUp(1, f"more than {DEATHS} workers died within {WINDOW_S:g} s; giving up")

    def _check_late_spare(self) -> None:
        spare = self._spare
        if spare is None or spare.is_ready:
            return
        if time.monotonic() - spare.forked_s < READY_LIMIT_S:
            return
        os.kill(spare.pid, signal.SIGKILL)
        message = f"the genome did not load within {READY_LIMIT_S:g} s"
        if not self._was_ready:
            raise GiveUp(INVALID_GENOME_EXIT, message)
        _log.error("%s; spare %d was killed", message, spare.pid)
        spare.forked_s = time.monotonic()  # until it is reaped

    def _stop(self) -> None:
        """Let the active worker finish its turns, for a bounded time."""
        _log.info("stopping")
        if self._spare is not None:
            _signal(self._spare.pid, signal.SIGKILL)
            self._release(self._spare)
        if self._active is not None:
            _signal(self._active.pid, signal.SIGTERM)
            self._close_pulse(self._active)
        deadline_s = time.monotonic() + STOP_LIMIT_S
        while self._has_children():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                self.kill()
                return
            self._selector.select(left_s)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_fd, 512)
        self._end_engines()

    def _has_children(self) -> bool:
        """Collect what has ended; the engines go when the active worker has."""
        try:
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                if self._active is not None and pid == self._active.pid:
                    self._active = None
        except ChildProcessError:
            return False
        if self._active is None:
            for engine in self._engines:
                engine.kill()
        return True

    def kill(self) -> None:
        """End every worker at once, and the engines."""
        for worker in (self._active, self._spare):
            if worker is not None:
                _signal(worker.pid, signal.SIGKILL)
        self._end_engines()

    def _end_engines(self) -> None:
        for engine in self._engines:
            engine.kill()
            engine.close()

    def _release(self, worker: Worker) -> None:
        os.close(worker.go_fd)
        self._close_pulse(worker)

    def _close_pulse(self, worker: Worker) -> None:
        if worker.pulse_fd is not None:
            self._selector.unregister(worker.pulse_fd)
            os.close(worker.pulse_fd)
            worker.pulse_fd = None


def _ignore(*_: object) -> None:
    """Signals wake the loop through the wake-up pipe; there is nothing else to do."""


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
