"""The supervisor's policy: `decide(state, observation, now)`, pure and total.

An observation changes what is known of a child; then `_pump` draws every consequence that is due:
it stops what is queued to stop, one child after the other, kills what overran its time, and starts
what may start. So a late or repeated observation can do no harm.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import assert_never

from o_platform.supervisor.spec import ChildKind, Strategy, SupervisorSpec
from o_platform.supervisor.state import (
    ALIVE,
    UP,
    Activated,
    Arm,
    BecameReady,
    Child,
    Decision,
    Died,
    Disarm,
    Drain,
    Drained,
    Effect,
    Finish,
    Mode,
    Observation,
    Phase,
    Record,
    RestartAsked,
    Signal,
    Spawn,
    Spawned,
    SpawnFailed,
    State,
    StopAsked,
    Tick,
)

_Fields = dict[str, str | float]


def decide(state: State, observation: Observation, now: float) -> Decision:
    """What follows from `observation` at `now` (monotonic seconds). The first one begins."""
    step = _Step(state if state.began_at is not None else replace(state, began_at=now), now)
    if state.mode is not Mode.STOPPED:
        _apply(step, observation)
        _pump(step)
    return Decision(step.state, tuple(step.effects))


def next_deadline(state: State) -> float | None:
    """When `decide` wants a `Tick` at the latest; None: no need."""
    return min(
        (
            child.deadline
            for child in state.children
            if child.deadline is not None and not (state.queue and child.phase is Phase.BACKOFF)
        ),
        default=None,
    )


class _Step:
    """One decision in the making."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.effects: list[Effect] = []

    def child(self, name: str) -> Child:
        return self.state.child(name)

    def update(self, name: str, **changes: object) -> None:
        children = tuple(
            replace(child, **changes) if child.spec.name == name else child  # type: ignore[arg-type]
            for child in self.state.children
        )
        self.state = replace(self.state, children=children)

    def record(self, kind: str, child: str, message: str, **fields: str | float) -> None:
        self.effects.append(Record(kind, child, message, tuple(fields.items())))


def _apply(step: _Step, observation: Observation) -> None:
    match observation:
        case Spawned(name, pid):
            _spawned(step, name, pid)
        case SpawnFailed(name, error):
            _spawn_failed(step, name, error)
        case BecameReady(name, pid):
            _became_ready(step, name, pid)
        case Died(name, pid, code, last_line):
            _process_ended(step, name, pid, code, last_line)
        case Drained(name):
            _drained(step, name)
        case Activated() | StopAsked() | RestartAsked():
            _apply_request(step, observation)
        case Tick():
            pass
        case _:
            assert_never(observation)


def _apply_request(step: _Step, request: Activated | StopAsked | RestartAsked) -> None:
    if step.state.mode is Mode.STOPPING:
        return
    match request:
        case Activated(name):
            if step.child(name).phase is Phase.ARMED:
                step.effects.append(Disarm(name))
                _spawn(step, step.child(name))
        case StopAsked(reason):
            _stop_all(step, 0, reason)
        case RestartAsked(name):
            _restart_asked(step, name)
        case _:
            assert_never(request)


def describe_exit(code: int) -> str:
    """`exited 3`, or `was killed by SIGKILL`."""
    if code >= 0:
        return f"exited {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _spawned(step: _Step, name: str, pid: int) -> None:
    child = step.child(name)
    if child.phase is not Phase.STARTING or child.pid is not None:
        return
    step.update(name, pid=pid, started_at=step.now)
    step.record("spawned", name, f"`{name}` runs as process {pid}", pid=pid)
    if child.spec.probe is None and child.spec.kind is not ChildKind.ONESHOT:
        _became_ready(step, name, pid)


def _process_ended(step: _Step, name: str, pid: int, code: int, last_line: str) -> None:
    child = step.child(name)
    if child.pid == pid:
        _ended(step, child, code, describe_exit(code), last_line)


def _drained(step: _Step, name: str) -> None:
    child = step.child(name)
    if child.phase is Phase.DRAINING:
        _send_stop(step, child)


def _spawn_failed(step: _Step, name: str, error: str) -> None:
    child = step.child(name)
    if child.phase is Phase.STARTING and child.pid is None:
        _ended(step, child, -1, f"could not be started: {error}", error)


def _became_ready(step: _Step, name: str, pid: int) -> None:
    child = step.child(name)
    if child.phase is not Phase.STARTING or child.pid != pid or child.started_at is None:
        return
    step.update(name, phase=Phase.READY, ready_at=step.now, deadline=None)
    seconds = round(step.now - child.started_at, 3)
    step.record("ready", name, f"`{name}` is ready after {seconds:.2f} s", seconds=seconds)


def _restart_asked(step: _Step, name: str) -> None:
    child = step.child(name)
    if child.spec.kind is ChildKind.ONESHOT:
        return
    if child.phase in ALIVE and name not in step.state.queue:
        step.update(name, after_stop=Phase.BACKOFF)
        step.state = replace(step.state, queue=(*step.state.queue, name))
        step.record("restart", name, f"`{name}` restarts, as asked")
    elif child.phase is Phase.BACKOFF:
        step.update(name, deadline=step.now, failures=0)


def _ended(step: _Step, child: Child, code: int, how: str, last_line: str) -> None:
    """A child's process is gone, wanted or not."""
    name = child.spec.name
    wanted = name in step.state.queue or step.state.mode is Mode.STOPPING
    uptime = round(step.now - child.started_at, 3) if child.started_at is not None else 0.0
    how = child.overrun or how
    step.update(name, pid=None, overrun=None, last_exit=how, deadline=None)
    fields: _Fields = {"code": code, "uptime_s": uptime, "last_line": last_line}
    if wanted:
        step.record("stopped", name, f"`{name}` stopped ({how})", **fields)
        due = step.now if child.after_stop is Phase.BACKOFF else None
        step.update(name, phase=child.after_stop, deadline=due, failures=0)
    elif child.spec.kind is ChildKind.ONESHOT:
        _oneshot_ended(step, name, code, how, fields)
    else:
        _died(step, child, code, how, fields)


def _oneshot_ended(step: _Step, name: str, code: int, how: str, fields: _Fields) -> None:
    if code == 0:
        step.update(name, phase=Phase.DONE)
        seconds = fields["uptime_s"]
        step.record("done", name, f"`{name}` is done after {seconds:.2f} s", seconds=seconds)
        return
    step.update(name, phase=Phase.STOPPED)
    step.record("died", name, f"`{name}` {how}", **fields)
    _stop_all(step, 1, f"`{name}` {how}: {fields['last_line'] or 'it said nothing'}")


def _died(step: _Step, child: Child, code: int, how: str, fields: _Fields) -> None:
    name, spec = child.spec.name, step.state.spec
    failures = 0 if _was_stable(child, spec, step.now) else child.failures
    idle_exit = child.spec.kind is ChildKind.ON_DEMAND and code == 0
    delay = _backoff_s(spec, failures)
    step.update(name, phase=Phase.BACKOFF, deadline=step.now + delay)
    if not idle_exit:
        step.update(name, failures=failures + 1, restarts=child.restarts + 1)
    after = "at once" if delay == 0 else f"in {delay:g} s"
    message = f"`{name}` {how} after {fields['uptime_s']:g} s; starts again {after}"
    step.record("died", name, message, **fields, delay_s=delay)
    if child.spec.kind is ChildKind.DAEMON:
        _judge(step, child, how, str(fields["last_line"]))


def _judge(step: _Step, child: Child, how: str, last_line: str) -> None:
    """Escalate if the deaths are too many; else stop the rest, if the strategy says so."""
    spec, name = step.state.spec, child.spec.name
    deaths = (*(at for at in step.state.deaths if step.now - at < spec.period_s), step.now)
    step.state = replace(step.state, deaths=deaths)
    if len(deaths) > spec.max_restarts:
        reason = f"{len(deaths)} deaths within {spec.period_s:g} s; the last: `{name}` {how}"
        _stop_all(step, 1, f"{reason}: {last_line}" if last_line else reason)
    elif step.state.mode is Mode.STARTING and child.failures + 1 >= spec.boot_tries:
        said = last_line or "it said nothing"
        _stop_all(step, 1, f"`{name}` did not come up in {spec.boot_tries} tries; it {how}: {said}")
    elif spec.strategy is Strategy.REST_FOR_ONE:
        _stop_rest(step, name)


def _was_stable(child: Child, spec: SupervisorSpec, now: float) -> bool:
    if child.phase is not Phase.READY or child.ready_at is None:
        return False
    return now - child.ready_at >= spec.stable_s


def _backoff_s(spec: SupervisorSpec, failures: int) -> float:
    if failures == 0:
        return 0.0
    return min(spec.backoff_max_s, spec.backoff_min_s * 2.0 ** min(failures - 1, 30))


def _stop_rest(step: _Step, name: str) -> None:
    names = [child.spec.name for child in step.state.children]
    rest = names[names.index(name) + 1 :]
    queue = list(step.state.queue)
    for later in reversed(rest):
        child = step.child(later)
        if child.phase in ALIVE and later not in queue:
            queue.append(later)
            step.update(later, after_stop=Phase.WAITING)
        elif child.phase is Phase.BACKOFF:
            step.update(later, phase=Phase.WAITING, deadline=None)
    step.state = replace(step.state, queue=tuple(queue))


def _stop_all(step: _Step, exit_code: int, reason: str) -> None:
    step.record("escalated" if exit_code else "stopping", "", f"stopping everything: {reason}")
    for child in step.state.children:
        name = child.spec.name
        if child.phase is Phase.ARMED:
            step.effects.append(Disarm(name))
        if child.phase in ALIVE:
            step.update(name, after_stop=Phase.STOPPED)
        elif child.phase is not Phase.DONE:
            step.update(name, phase=Phase.STOPPED, deadline=None)
    order = _stop_order(step.state.spec)
    queue = tuple(name for name in order if step.child(name).phase in ALIVE)
    step.state = replace(
        step.state, mode=Mode.STOPPING, queue=queue, exit_code=exit_code, reason=reason
    )


def _stop_order(spec: SupervisorSpec) -> list[str]:
    rest = [c.name for c in reversed(spec.children) if c.name not in spec.stop_order]
    return [*spec.stop_order, *rest]


def _pump(step: _Step) -> None:
    for child in step.state.children:
        if child.deadline is not None and child.deadline <= step.now:
            _overran(step, child)
    _stop_queued(step)
    if step.state.queue:
        return
    if step.state.mode is Mode.STOPPING:
        step.state = replace(step.state, mode=Mode.STOPPED)
        step.record("down", "", f"everything is stopped: {step.state.reason}")
        step.effects.append(Finish(step.state.exit_code))
    else:
        _start_due(step)
        _start_waiting(step)


def _overran(step: _Step, child: Child) -> None:
    match child.phase:
        case Phase.DRAINING:
            _send_stop(step, child)
        case Phase.STARTING:
            limit = child.spec.ready_timeout_s
            _kill(step, child, f"was not ready after {limit:g} s")
        case Phase.STOPPING:
            _kill(step, child, f"did not stop within {child.spec.grace_s:g} s and was killed")
        case _:
            pass


def _kill(step: _Step, child: Child, overrun: str) -> None:
    if child.pid is None:
        # Its zygote has not forked it; a process that comes too late is not let begin.
        _ended(step, child, -1, overrun, "")
        return
    step.effects.append(Signal(child.spec.name, child.pid, signal.SIGKILL))
    step.update(child.spec.name, deadline=None, overrun=overrun)


def _stop_queued(step: _Step) -> None:
    """Stop the head of the queue, and then the next: one at a time."""
    while step.state.queue:
        child = step.child(step.state.queue[0])
        if child.phase is Phase.STARTING and child.pid is None and child.spec.zygote is not None:
            _ended(step, child, 0, "was not forked yet", "")
        elif child.phase in ALIVE:
            if child.phase in (Phase.STARTING, Phase.READY) and child.pid is not None:
                _begin_stop(step, child)
            return
        step.state = replace(step.state, queue=step.state.queue[1:])


def _begin_stop(step: _Step, child: Child) -> None:
    name = child.spec.name
    if child.spec.stop_command and step.state.mode is Mode.STOPPING:
        due = step.now + child.spec.stop_command_s
        step.update(name, phase=Phase.DRAINING, deadline=due)
        step.effects.append(Drain(name))
    else:
        _send_stop(step, child)


def _send_stop(step: _Step, child: Child) -> None:
    name, spec = child.spec.name, child.spec
    step.update(name, phase=Phase.STOPPING, deadline=step.now + spec.grace_s)
    if child.pid is not None:
        step.effects.append(Signal(name, child.pid, signal.Signals[spec.stop_signal]))


def _start_due(step: _Step) -> None:
    for child in step.state.children:
        due = child.deadline is not None and child.deadline <= step.now
        if child.phase is Phase.BACKOFF and due:
            _bring_up(step, child)


def _start_waiting(step: _Step) -> None:
    """Start children in order, each when all before it that gate are up."""
    complete = True
    for child in step.state.children:
        if child.phase is Phase.WAITING:
            _bring_up(step, child)
        if child.spec.kind is not ChildKind.ON_DEMAND:
            up = step.child(child.spec.name).phase in UP
            if not up and child.spec.gates:
                return
            complete = complete and up
    if complete and step.state.mode is Mode.STARTING:
        step.state = replace(step.state, mode=Mode.RUNNING)
        began_at = step.now if step.state.began_at is None else step.state.began_at
        seconds = round(step.now - began_at, 3)
        step.record("up", "", f"everything is up after {seconds:.2f} s", seconds=seconds)


def _bring_up(step: _Step, child: Child) -> None:
    if child.spec.kind is ChildKind.ON_DEMAND:
        step.update(child.spec.name, phase=Phase.ARMED, deadline=None)
        step.effects.append(Arm(child.spec.name))
    else:
        _spawn(step, child)


def _spawn(step: _Step, child: Child) -> None:
    deadline = None
    if child.spec.probe is not None or child.spec.kind is ChildKind.ONESHOT:
        deadline = step.now + child.spec.ready_timeout_s
    step.update(
        child.spec.name, phase=Phase.STARTING, pid=None, started_at=None, ready_at=None,
        deadline=deadline, overrun=None,
    )  # fmt: skip
    step.effects.append(Spawn(child.spec.name))
