"""What the supervisor knows, what it observes, and what it decides to do: plain values."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

from o_platform.supervisor.spec import ChildSpec, SupervisorSpec


class Mode(StrEnum):
    """What the whole is up to."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Phase(StrEnum):
    """What one child is up to."""

    WAITING = "waiting"
    """For the children before it."""
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    """For the moment of its respawn."""
    DRAINING = "draining"
    """Its stop command runs."""
    STOPPING = "stopping"
    """It was told to stop."""
    STOPPED = "stopped"
    DONE = "done"
    """A oneshot that succeeded."""
    ARMED = "armed"
    """For a first connection."""


ALIVE = frozenset({Phase.STARTING, Phase.READY, Phase.DRAINING, Phase.STOPPING})
UP = frozenset({Phase.READY, Phase.DONE, Phase.ARMED})


@dataclass(frozen=True, slots=True)
class Child:
    """What is known of one child. Times are those of `now`, in seconds."""

    spec: ChildSpec
    phase: Phase = Phase.WAITING
    pid: int | None = None
    started_at: float | None = None
    ready_at: float | None = None
    deadline: float | None = None
    """When the phase must end: respawn, readiness, the stop command, or the grace."""
    after_stop: Phase = Phase.STOPPED
    overrun: str | None = None
    """Why it was killed by us."""
    failures: int = 0
    """Deaths in a row, none of them after a stable time."""
    restarts: int = 0
    last_exit: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The supervisor's whole state."""

    spec: SupervisorSpec
    children: tuple[Child, ...]
    mode: Mode = Mode.STARTING
    began_at: float | None = None
    queue: tuple[str, ...] = ()
    """Children to stop, in order; nothing starts before it is empty."""
    deaths: tuple[float, ...] = ()
    exit_code: int = 0
    reason: str = ""

    def child(self, name: str) -> Child:
        """The child with this name.

        Raises:
            KeyError: there is none.
        """
        for child in self.children:
            if child.spec.name == name:
                return child
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Spawned:
    """A `Spawn` made a process."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """A `Spawn` made none."""

    name: str
    error: str


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The child's probe was answered."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Died:
    """A child's process ended: `code` is its exit code, or minus the signal's number."""

    name: str
    pid: int
    code: int
    last_line: str = ""


@dataclass(frozen=True, slots=True)
class Drained:
    """The stop command of a child ended."""

    name: str


@dataclass(frozen=True, slots=True)
class Activated:
    """Somebody connected to the socket of an on-demand child."""

    name: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Everything is to stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class RestartAsked:
    """One child is to stop and start again."""

    name: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""


Observation = (
    Spawned | SpawnFailed | BecameReady | Died | Drained | Activated
    | StopAsked | RestartAsked | Tick
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the child's process; answered by `Spawned` or `SpawnFailed`."""

    name: str


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to the child's process."""

    name: str
    pid: int
    signal: signal.Signals


@dataclass(frozen=True, slots=True)
class Drain:
    """Run the child's stop command; answered by `Drained`."""

    name: str


@dataclass(frozen=True, slots=True)
class Arm:
    """Watch the on-demand child's socket; answered by `Activated`."""

    name: str


@dataclass(frozen=True, slots=True)
class Disarm:
    """Stop watching it."""

    name: str


@dataclass(frozen=True, slots=True)
class Record:
    """Tell the operator; `child` is empty for the supervisor itself."""

    kind: str
    child: str
    message: str
    fields: tuple[tuple[str, str | float | int], ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing runs any more: exit."""

    code: int


Effect = Spawn | Signal | Drain | Arm | Disarm | Record | Finish


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state, and what to do, in order."""

    state: State
    effects: tuple[Effect, ...]


def initial_state(spec: SupervisorSpec) -> State:
    """Nothing runs yet."""
    return State(spec, tuple(Child(child) for child in spec.children))
