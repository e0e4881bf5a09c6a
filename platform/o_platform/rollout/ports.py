"""What rollouts need of other parts; `wiring` hands over the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from o_contracts.bridge import Role

if TYPE_CHECKING:  # else whoever steers rollouts would import the container engine's client
    from o_platform.images.build import BuiltImage
    from o_platform.runtimes.protocol import InstanceSpec


class InstanceInfo(Protocol):
    """A running copy of a variant."""

    @property
    def id(self) -> str:
        """12 hex digits."""
        ...

    @property
    def agent_socket(self) -> Path:
        """The Unix socket it answers on."""
        ...


class UsageInfo(Protocol):
    """What the engine counted for one instance since it started."""

    @property
    def memory_peak_bytes(self) -> int:
        """Most memory it ever used."""
        ...

    @property
    def oom_kills(self) -> int:
        """How often the kernel killed one of its processes for lack of memory."""
        ...


class Preparer(Protocol):
    """Where instances run (`runtimes.protocol.Runtime`)."""

    async def prepare(self, spec: InstanceSpec) -> BuiltImage | None:
        """Do what can be done before an instance starts: build the image, if there are images.

        Raises:
            BuildError: the image cannot be built.
            ForbiddenError: this runtime refuses such a genome.
        """
        ...


class FleetPort(Protocol):
    """Starts, measures and removes instances (`runtimes.fleet.Fleet`)."""

    @property
    def runtime(self) -> Preparer:
        """Where its instances run."""
        ...

    async def ensure(
        self,
        lineage: str,
        variant: str,
        role: Role,
        rollout_id: str | None = None,
        *,
        fresh: bool = False,
    ) -> InstanceInfo:
        """A ready instance for just this; the same one when asked again, unless `fresh`.

        Raises:
            NotReadyError: it did not become ready in time, or exited.
            BuildError: its image cannot be built.
            ForbiddenError: the runtime refuses the genome.
        """
        ...

    async def retire(self, instance_id: str) -> None:
        """Stop and remove an instance; one that has ended already is fine."""
        ...

    async def usage(self, instance_id: str) -> UsageInfo:
        """What it used.

        Raises:
            NotFoundError: no such instance.
        """
        ...


class TrafficPort(Protocol):
    """Puts the routes of the database in force (`traffic.controller.TrafficController`)."""

    async def apply(self) -> object:
        """Render, deliver and confirm; when this returns, every new request follows the rows.

        Raises:
            TrafficError: Envoy refused or did not answer.
        """
        ...


class Attempt(Protocol):
    """One attempt at an instance, as Envoy logged it."""

    @property
    def at(self) -> datetime:
        """When the request came in."""
        ...

    @property
    def instance_id(self) -> str:
        """Who was asked."""
        ...

    @property
    def status(self) -> int:
        """HTTP status; 0 when the instance died or broke off its answer."""
        ...

    @property
    def cancelled(self) -> bool:
        """The client ended it: says nothing about the instance."""
        ...

    @property
    def duration_us(self) -> int | None:
        """Until the answer's last byte, in microseconds; None without an answer."""
        ...

    @property
    def routing_key(self) -> str | None:
        """Lineage and bucket of the agent, `xxxxxxxx-xxxx`."""
        ...


class Position(Protocol):
    """A place in the log."""

    @property
    def inode(self) -> int:
        """Which file."""
        ...

    @property
    def offset(self) -> int:
        """How many bytes of it were read."""
        ...


class AttemptLog(Protocol):
    """Follows Envoy's log of attempts (`traffic.upstream_log.UpstreamLog`)."""

    @property
    def position(self) -> Position:
        """Where the next read starts."""
        ...

    async def read_new(self) -> Sequence[Attempt]:
        """What was logged since the last call."""
        ...
