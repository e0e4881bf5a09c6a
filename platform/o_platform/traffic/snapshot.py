"""What Envoy must know, as frozen values: the input of `render` and nothing else.

Equal snapshots render to equal files. Shares are permille (0 … 1000). Socket and folder paths are
absolute strings, since a pure module does not touch a file system.
"""

from __future__ import annotations

from dataclasses import dataclass

FULL_PERMILLE = 1000
MAX_SOCKET_PATH = 107
"""Bytes that a Unix socket's path may have on Linux."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance and the socket it answers on."""

    instance_id: str
    variant: str
    """Digest of the genome it runs, 64 hex digits."""
    socket: str

    def __post_init__(self) -> None:
        """Refuse a path that cannot be bound."""
        if len(self.socket.encode()) > MAX_SOCKET_PATH:
            raise ValueError(
                f"the socket path {self.socket!r} is longer than {MAX_SOCKET_PATH} bytes; "
                "set O_RUN_DIR to a shorter folder"
            )


@dataclass(frozen=True, slots=True)
class Canary:
    """The instance that gets a share of a lineage's agents, the stable ones behind it."""

    endpoint: Endpoint
    weight_permille: int

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        _check_permille("weight_permille", self.weight_permille)


@dataclass(frozen=True, slots=True)
class Shadow:
    """The instance that gets copies of a share of a lineage's turns; its answers go nowhere."""

    endpoint: Endpoint
    mirror_permille: int

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        _check_permille("mirror_permille", self.mirror_permille)


@dataclass(frozen=True, slots=True)
class LineageRoutes:
    """How the turns of one lineage's agents are served."""

    key: int
    """First group of its agents' UUIDs, 0 … 2**32 - 1."""
    name: str
    stable: tuple[Endpoint, ...]
    """Empty: nothing is ready, turns get 503."""
    canary: Canary | None = None
    shadow: Shadow | None = None
    observed: bool = False
    """Log successful attempts too, since a rollout is judged by them."""

    @property
    def prefix(self) -> str:
        """The key as the eight hex digits of an id."""
        return f"{self.key:08x}"

    @property
    def candidates(self) -> tuple[Endpoint, ...]:
        """The endpoints that a rollout brought: those of the canary and the shadow."""
        parts = (self.canary, self.shadow)
        return tuple(part.endpoint for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where clients connect."""

    host: str
    port: int
    tls: bool
    auth_required: bool
    """Without a valid key only the health check answers. Operator routes need one always."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Files and sockets that Envoy uses; the files of `folder` are its own."""

    folder: str
    control_socket: str

    @property
    def admin_socket(self) -> str:
        """Envoy's admin interface."""
        return f"{self.folder}/admin.sock"

    @property
    def internal_socket(self) -> str:
        """The listener of the platform's own requests."""
        return f"{self.folder}/internal.sock"

    @property
    def bootstrap(self) -> str:
        """The configuration Envoy starts with."""
        return f"{self.folder}/bootstrap.json"

    @property
    def upstream_log(self) -> str:
        """One line of JSON per logged attempt."""
        return f"{self.folder}/upstream.log"

    def resource(self, kind: str) -> str:
        """The watched file of one kind: `lds`, `rds`, `cds` or `sds`."""
        return f"{self.folder}/{kind}/{kind}.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that decides where a request goes."""

    listener: Listener
    paths: Paths
    jwks: str
    """Public keys that tokens are checked with, as a JSON document."""
    default_key: int
    """Lineage of turns whose id names no known one."""
    lineages: tuple[LineageRoutes, ...] = ()
    benches: tuple[Endpoint, ...] = ()
    revoked: frozenset[str] = frozenset()
    """Ids (`jti`) of keys that are valid by their signature and no longer accepted."""
    max_body_bytes: int = 4 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse ambiguous routes."""
        keys = [lineage.key for lineage in self.lineages]
        if len(set(keys)) != len(keys):
            raise ValueError("two lineages have the same routing key")


def _check_permille(name: str, value: int) -> None:
    if not 0 <= value <= FULL_PERMILLE:
        raise ValueError(f"{name} must be 0 … {FULL_PERMILLE}, not {value}")
