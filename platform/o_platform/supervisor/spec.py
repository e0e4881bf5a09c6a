"""What the supervisor is told: children in start order, and how they live and die.

The specification is a JSON file, since the supervisor must not import the settings. It holds no
secret: a child's environment is named by patterns over the supervisor's own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

_FORKED_WORDS = len(("<python>", "-m", "<module>"))


class SpecError(ValueError):
    """The specification file is not one."""


class ChildKind(StrEnum):
    """How a child lives."""

    DAEMON = "daemon"
    """Runs always; is respawned when it dies."""
    ONESHOT = "oneshot"
    """Must exit with 0 before the next child starts; runs once."""
    ON_DEMAND = "on_demand"
    """Starts when somebody connects to `listen`."""


class ProbeKind(StrEnum):
    """What tells that a child is ready."""

    HTTP = "http"
    """A GET of `request` on the Unix socket `path` answers 2xx."""
    CONNECT = "connect"
    """The Unix socket `path` accepts."""
    POSTGRES = "postgres"
    """A PostgreSQL server accepts a session on the Unix socket `path`."""
    FILE = "file"
    """The child has made the file `path`; what is there when it starts is removed."""


class Strategy(StrEnum):
    """Whom a death concerns."""

    ONE_FOR_ONE = "one_for_one"
    """Only the child that died."""
    REST_FOR_ONE = "rest_for_one"
    """It and all children that started after it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A question that a ready child answers."""

    kind: ProbeKind
    path: str
    request: str = "/"


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child. Paths are absolute; times are in seconds."""

    name: str
    command: tuple[str, ...]
    kind: ChildKind = ChildKind.DAEMON
    probe: Probe | None = None
    """Absent: ready as soon as it runs."""
    ready_timeout_s: float = 30.0
    gates: bool = True
    """Whether the children after it wait until it is ready."""
    listen: str | None = None
    """Path of a socket that the supervisor holds for it, and that it gets as file descriptor 3:
    connections made while it does not run wait for it."""
    zygote: str | None = None
    """Name of the child that it is forked from, as `<python> -m <module> …`, which its command has
    to be. The zygote has imported what it needs."""
    env: tuple[str, ...] = ()
    """Patterns of variables to pass on; a leading `!` takes out again. Later ones win."""
    env_set: dict[str, str] = field(default_factory=dict)
    uid: int | None = None
    gid: int | None = None
    stop_signal: str = "SIGTERM"
    grace_s: float = 10.0
    """From the stop signal to SIGKILL."""
    stop_command: tuple[str, ...] = ()
    """Runs before the stop signal when all is stopped (not at a restart), as ourselves."""
    stop_command_s: float = 10.0
    oom_score_adj: int = 0
    """-1000 … 1000: the kernel's preference for it when memory runs out. Below 0 needs root."""

    def environment(self, environ: dict[str, str]) -> dict[str, str]:
        """What of `environ` this child sees, and its own variables."""
        return {k: v for k, v in environ.items() if self._passes(k)} | self.env_set

    def _passes(self, name: str) -> bool:
        passes = False
        for pattern in self.env:
            if fnmatchcase(name, pattern.removeprefix("!")):
                passes = not pattern.startswith("!")
        return passes


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """All children, and the policy."""

    children: tuple[ChildSpec, ...]
    run_dir: str
    log_dir: str
    strategy: Strategy = Strategy.ONE_FOR_ONE
    max_restarts: int = 30
    """More deaths than this within `period_s` stop everything. With the back-off below, a child
    that never comes up again reaches it after about 100 s: longer than most outages."""
    period_s: float = 120.0
    boot_tries: int = 3
    """A child that dies this often before the first complete start stops everything."""
    backoff_min_s: float = 0.1
    """Delay of the second respawn in a row; the first is at once. Doubles up to `backoff_max_s`."""
    backoff_max_s: float = 3.0
    stable_s: float = 5.0
    """A child that was ready this long has its back-off forgotten."""
    stop_order: tuple[str, ...] = ()
    """Names to stop first, in this order; the others follow in reverse start order."""
    log_max_bytes: int = 16 * 1024 * 1024
    log_keep: int = 3

    def child(self, name: str) -> ChildSpec:
        """The child with this name.

        Raises:
            KeyError: there is none.
        """
        for child in self.children:
            if child.name == name:
                return child
        raise KeyError(name)

    def to_json(self) -> str:
        """The specification as the text of its file."""
        return json.dumps(asdict(self), indent=1)


def load(path: Path) -> SupervisorSpec:
    """Read a specification file.

    Raises:
        SpecError: it is not a valid specification; the message names the field.
    """
    try:
        data = json.loads(path.read_text())
        return _validated(_spec(data))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SpecError(f"{path} is not a supervisor specification: {error}") from error


def _spec(data: dict[str, Any]) -> SupervisorSpec:
    data = dict(data)
    children = tuple(_child(child) for child in data.pop("children"))
    data["strategy"] = Strategy(data.get("strategy", Strategy.ONE_FOR_ONE))
    data["stop_order"] = tuple(data.get("stop_order", ()))
    return SupervisorSpec(children=children, **data)


def _child(data: dict[str, Any]) -> ChildSpec:
    data = dict(data)
    probe = data.pop("probe", None)
    for name in ("command", "env", "stop_command"):
        data[name] = tuple(data.get(name, ()))
    data["kind"] = ChildKind(data.get("kind", ChildKind.DAEMON))
    return ChildSpec(probe=_probe(probe) if probe else None, **data)


def _probe(data: dict[str, Any]) -> Probe:
    return Probe(**{**data, "kind": ProbeKind(data["kind"])})


def _validated(spec: SupervisorSpec) -> SupervisorSpec:
    names = [child.name for child in spec.children]
    if not names or len(set(names)) != len(names):
        raise ValueError("children must have distinct names, and there must be one")
    if unknown := set(spec.stop_order) - set(names):
        raise ValueError(f"stop_order names unknown children: {', '.join(sorted(unknown))}")
    for child in spec.children:
        if not child.command:
            raise ValueError(f"child {child.name!r} has no command")
        if child.kind is ChildKind.ON_DEMAND and child.listen is None:
            raise ValueError(f"child {child.name!r}: the kind on_demand wants `listen`")
        if child.zygote is not None:
            _check_forked(spec, child, child.zygote)
    return spec


def _check_forked(spec: SupervisorSpec, child: ChildSpec, zygote: str) -> None:
    names = [each.name for each in spec.children]
    earlier = {each.name: each for each in spec.children[: names.index(child.name)]}
    if zygote not in earlier or earlier[zygote].listen is None:
        raise ValueError(f"child {child.name!r}: `zygote` names an earlier child with `listen`")
    if len(child.command) < _FORKED_WORDS or child.command[1] != "-m":
        raise ValueError(f"child {child.name!r}: a zygote forks `<python> -m <module> …` only")
