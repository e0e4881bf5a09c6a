"""Carries out what `machine.decide` says: one thread, one selector, no polling of children.

SIGCHLD and the stop signals arrive as bytes on a pipe (`signal.set_wakeup_fd`), children's output
on pipes of their own, requests on the control socket. Only a child that is starting is asked
repeatedly, until its probe is answered.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any, assert_never

from o_platform.supervisor import machine
from o_platform.supervisor.births import Births
from o_platform.supervisor.control import ControlServer
from o_platform.supervisor.output import ChildOutput
from o_platform.supervisor.probe import listen
from o_platform.supervisor.process import (
    Launch,
    adopt_orphans,
    end_process,
    rss_bytes,
    spawn,
)
from o_platform.supervisor.readiness import Readiness
from o_platform.supervisor.records import EventLog, RotatingFile, read_pids, write_pids
from o_platform.supervisor.spec import ChildKind, ChildSpec, ProbeKind, SupervisorSpec
from o_platform.supervisor.state import (
    ALIVE,
    Activated,
    Arm,
    BecameReady,
    Child,
    Died,
    Disarm,
    Drain,
    Drained,
    Effect,
    Finish,
    Observation,
    Phase,
    Record,
    RestartAsked,
    Signal,
    Spawn,
    Spawned,
    SpawnFailed,
    StopAsked,
    Tick,
    initial_state,
)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """One run of the supervisor, from the first child's start to the last one's end."""

    def __init__(self, spec: SupervisorSpec, environ: dict[str, str]) -> None:
        """`environ` is what children's environments are taken from.

        Raises:
            OSError: the control socket or a child's socket cannot be made.
        """
        self._spec = spec
        self._environ = environ
        self._run = Path(spec.run_dir)
        self._state = initial_state(spec)
        self._began_at = time.monotonic()
        self._exit_code: int | None = None
        self._pending: deque[Observation] = deque()
        self._drains: dict[int, str] = {}
        self._selector = selectors.DefaultSelector()
        self._wakeup = _wakeup_socket()
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._on_signal)
        self._outputs = {child.name: self._output(child.name) for child in spec.children}
        self._readiness = Readiness(
            self._selector, lambda name, pid: self._observe(BecameReady(name, pid))
        )
        self._births = Births(self._selector, self._born, self._not_born)
        self._listeners = {
            child.name: listen(child.listen, mode=0o600) for child in spec.children if child.listen
        }
        control = listen(str(self._run / "supervisor.sock"), mode=0o600)
        self._control = ControlServer(control, self._selector, self)
        self._events = EventLog(
            Path(spec.log_dir) / "events.jsonl", max_bytes=spec.log_max_bytes, keep=spec.log_keep
        )

    def record_leftover(self, name: str, pid: int) -> None:
        """Tell the operator what `end_leftovers` ended."""
        message = f"ended `{name}` (process {pid}), left over by a killed supervisor"
        self._record("leftover", name, message, pid=pid)

    def run(self) -> int:
        """Start everything, keep it running, stop it when told to; the exit code."""
        adopt_orphans()
        self._observe(Tick())
        while self._exit_code is None:
            for key, mask in self._selector.select(self._timeout_s()):
                key.data(mask)
            self._readiness.poll(time.monotonic())
            self._observe(Tick())
        self._close()
        return self._exit_code

    def status(self) -> dict[str, Any]:
        """The present state, JSON-ready."""
        now = time.monotonic()
        return {
            "mode": self._state.mode.value,
            "reason": self._state.reason,
            "pid": os.getpid(),
            "uptime_s": round(now - self._began_at, 3),
            "rss_bytes": rss_bytes(os.getpid()),
            "children": [_child_status(child, now) for child in self._state.children],
        }

    def stop(self, reason: str) -> None:
        """Stop everything and exit."""
        self._observe(StopAsked(reason))

    def restart(self, name: str) -> None:
        """Restart one child.

        Raises:
            KeyError: there is no such child.
            ValueError: it is not of a kind that restarts.
        """
        if self._spec.child(name).kind is ChildKind.ONESHOT:
            raise ValueError(f"{name!r} runs once, at the start; it cannot be restarted")
        self._observe(RestartAsked(name))

    def recent_events(self) -> list[dict[str, Any]]:
        """The newest events, oldest first."""
        return list(self._events.recent)

    def _observe(self, observation: Observation) -> None:
        """Decide and carry out; what effects lead to is decided after, in order."""
        self._pending.append(observation)
        if len(self._pending) > 1:
            return
        while self._pending:
            decision = machine.decide(self._state, self._pending[0], time.monotonic())
            self._state = decision.state
            for effect in decision.effects:
                self._carry_out(effect)
            self._pending.popleft()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Spawn(name):
                self._spawn(self._spec.child(name))
            case Signal(_, pid, number):
                os.kill(pid, number)
            case Drain(name):
                self._drain(self._spec.child(name))
            case Arm(name):
                self._arm(name)
            case Disarm(name):
                self._selector.unregister(self._listeners[name])
            case Record(kind, child, message, fields):
                self._record(kind, child, message, **dict(fields))
            case Finish(code):
                self._exit_code = code
            case _:
                assert_never(effect)

    def _record(self, kind: str, child: str, message: str, **fields: object) -> None:
        self._control.publish(self._events.append(kind, child, message, **fields))

    def _timeout_s(self) -> float | None:
        wanted = (self._readiness.next_at(), machine.next_deadline(self._state))
        earliest = min((at for at in wanted if at is not None), default=None)
        return None if earliest is None else max(0.0, earliest - time.monotonic())

    def _on_signal(self, _mask: int) -> None:
        numbers = self._wakeup.recv(4096)
        if signal.SIGCHLD in numbers:
            self._reap()
        for number in STOP_SIGNALS:
            if number in numbers:
                self._observe(StopAsked(f"{number.name} received"))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._reaped(pid, os.waitstatus_to_exitcode(status))

    def _reaped(self, pid: int, code: int) -> None:
        if (drained := self._drains.pop(pid, None)) is not None:
            self._observe(Drained(drained))
        name = next((c.spec.name for c in self._state.children if c.pid == pid), None)
        if name is not None:
            self._readiness.forget(name)
            self._outputs[name].read_now()
            self._observe(Died(name, pid, code, self._outputs[name].last_line))
            self._write_pids()

    def _spawn(self, child: ChildSpec) -> None:
        listener = self._listeners.get(child.name)
        writing = self._outputs[child.name].open_pipe()
        launch = Launch(
            child.command, child.environment(self._environ), writing,
            listen_fd=None if listener is None else listener.fileno(),
            uid=child.uid, gid=child.gid, oom_score_adj=child.oom_score_adj,
            death_signal=signal.Signals[child.stop_signal],
        )  # fmt: skip
        try:
            if child.probe is not None and child.probe.kind is ProbeKind.FILE:
                Path(child.probe.path).unlink(missing_ok=True)
            if child.zygote is not None:
                self._births.ask(child.name, self._zygote_path(child.zygote), launch)
                return
            pid = spawn(launch)
        except OSError as error:
            self._observe(SpawnFailed(child.name, str(error)))
            return
        finally:
            os.close(writing)
        self._begun(child, pid)

    def _begun(self, child: ChildSpec, pid: int) -> None:
        if child.probe is not None:
            self._readiness.ask(child.name, pid, child.probe, time.monotonic())
        self._observe(Spawned(child.name, pid))
        self._write_pids(pid, child.name)

    def _zygote_path(self, name: str) -> str:
        path = self._spec.child(name).listen
        if path is None or self._state.child(name).phase not in ALIVE:
            raise OSError(f"`{name}`, which forks it, does not run")
        return path

    def _born(self, name: str, pid: int) -> bool:
        child = self._state.child(name)
        if child.phase is not Phase.STARTING or child.pid is not None:
            return False
        self._begun(child.spec, pid)
        return True

    def _not_born(self, name: str, error: str) -> None:
        self._observe(SpawnFailed(name, error))

    def _drain(self, child: ChildSpec) -> None:
        writing = self._outputs[child.name].open_pipe()
        environ = child.environment(self._environ)
        try:
            self._drains[spawn(Launch(child.stop_command, environ, writing))] = child.name
        except OSError as error:
            self._record("drain_failed", child.name, f"the stop command of `{child.name}`: {error}")
            self._observe(Drained(child.name))
        finally:
            os.close(writing)

    def _arm(self, name: str) -> None:
        self._selector.register(
            self._listeners[name],
            selectors.EVENT_READ,
            lambda _mask: self._observe(Activated(name)),
        )

    def _write_pids(self, pid: int | None = None, name: str = "") -> None:
        pids = {c.spec.name: c.pid for c in self._state.children if c.pid is not None}
        try:
            write_pids(self._run / "pids.json", pids | ({name: pid} if pid is not None else {}))
        except OSError as error:
            # A full disk: should this process be killed now, its children are not found again.
            self._record("unrecorded", name, f"process ids could not be written down: {error}")

    def _output(self, name: str) -> ChildOutput:
        path = Path(self._spec.log_dir) / f"{name}.log"
        file = RotatingFile(path, max_bytes=self._spec.log_max_bytes, keep=self._spec.log_keep)
        return ChildOutput(self._selector, file)

    def _close(self) -> None:
        self._births.close()
        for output in self._outputs.values():
            output.close()
        for listener in self._listeners.values():
            listener.close()
        for name in ("pids.json", "supervisor.sock"):
            (self._run / name).unlink(missing_ok=True)
        self._control.close()
        self._selector.close()


def end_leftovers(spec: SupervisorSpec) -> list[tuple[str, int]]:
    """End children of an earlier supervisor that was killed: they hold sockets and data.

    Returns:
        Name and process id of each that was still there.
    """
    children = {child.name: child for child in spec.children}
    ended = []
    for name, (pid, started) in reversed(read_pids(Path(spec.run_dir) / "pids.json").items()):
        child = children.get(name, spec.children[0])
        if end_process(pid, started, signal.Signals[child.stop_signal], child.grace_s):
            ended.append((name, pid))
    return ended


def _child_status(child: Child, now: float) -> dict[str, Any]:
    uptime_s = None
    if child.pid is not None and child.started_at is not None:
        uptime_s = round(now - child.started_at, 3)
    return {
        "name": child.spec.name,
        "kind": child.spec.kind.value,
        "phase": child.phase.value,
        "pid": child.pid,
        "uptime_s": uptime_s,
        "restarts": child.restarts,
        "rss_bytes": rss_bytes(child.pid) if child.pid is not None else None,
        "last_exit": child.last_exit,
    }


def _wakeup_socket() -> socket.socket:
    """Readable when a signal arrived; its bytes are the signals' numbers."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    # The writing end lives as long as the process: only the C handler knows its number.
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *STOP_SIGNALS):
        signal.signal(number, lambda _number, _frame: None)
    return reading
