"""What a runtime is: it starts, watches and ends instances, and knows which ones are its own.

The conformance suite in `tests/contract/runtimes` runs on every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from o_contracts.bridge import Role
from o_platform.images.build import BuiltImage
from o_platform.images.genome import Genome
from o_platform.settings import Limits

AGENT_ARGUMENTS = ("-m", "o_agent")
"""What the interpreter of an instance is started with."""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One instance to be. `id` is 12 hex digits; `origin` says who made the genome."""

    id: str
    genome: Genome
    role: Role
    limits: Limits
    origin: str = "operator"
    arguments: tuple[str, ...] = AGENT_ARGUMENTS


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an instance is: `handle` is a container id, or `pid:start-time` of a process."""

    instance_id: str
    handle: str


@dataclass(frozen=True, slots=True)
class State:
    """How an instance is. `exit_code` is of the last end: 128 + n after signal n."""

    running: bool
    restarting: bool = False
    exit_code: int | None = None
    out_of_memory: bool = False
    restarts: int = 0

    @property
    def alive(self) -> bool:
        """Whether it runs, or will by itself."""
        return self.running or self.restarting

    def __str__(self) -> str:
        """In words for an operator."""
        if self.running:
            return "running"
        code = "an unknown status" if self.exit_code is None else str(self.exit_code)
        return f"exited with {code}{': out of memory' if self.out_of_memory else ''}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What an instance uses; counters are since its container or process last started."""

    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    cpu_us: int = 0
    oom_kills: int = 0
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something happened to an instance: its main process died, or one in it was out of memory."""

    placement: Placement
    kind: Literal["died", "oom"]
    exit_code: int | None = None


class Runtime(Protocol):
    """Starts and ends instances.

    Every method may raise EngineUnavailableError; those about a placement treat one that is gone
    as ended, not as an error.
    """

    @property
    def name(self) -> str:
        """`docker` or `process`, as stored with instances."""
        ...

    @property
    def writes_log_files(self) -> bool:
        """Whether what instances print is in files of `LogFiles` while they run."""
        ...

    @property
    def uid(self) -> int:
        """User whose processes own an instance's socket, as seen from here."""
        ...

    async def prepare(self, spec: InstanceSpec) -> BuiltImage | None:
        """Do what can be done before the start: build the image, if there are images.

        Raises:
            BuildError: the image cannot be built.
            ForbiddenError: this runtime refuses such a genome.
        """
        ...

    async def start(self, spec: InstanceSpec) -> Placement:
        """Start a prepared instance whose folders are there; replaces a leftover of the same id.

        Raises:
            NotReadyError: it could not be started; says why.
            ForbiddenError: this runtime refuses such a genome.
        """
        ...

    async def state(self, placement: Placement) -> State | None:
        """How it is; None when there is no trace of it."""
        ...

    async def stop(self, placement: Placement, grace_s: float) -> None:
        """Ask it to end, and end it after `grace_s` seconds. Its logs stay."""
        ...

    async def remove(self, placement: Placement) -> None:
        """End it at once if it runs, and forget it."""
        ...

    async def usage(self, placement: Placement) -> Usage:
        """What it uses now; all zero when it does not run."""
        ...

    async def logs(self, placement: Placement, tail: int) -> str:
        """The last `tail` lines that it printed; empty when nothing is known."""
        ...

    async def owned(self) -> list[Placement]:
        """Every instance of this home that has left a trace in this runtime, running or not."""
        ...

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[RuntimeEvent]]:
        """What happens to instances of this home, from the moment it is entered.

        Raises:
            EngineUnavailableError: from the iterator: the engine went away; watch again.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; instances go on."""
        ...
