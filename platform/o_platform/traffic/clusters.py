"""Clusters: where requests can go, and what Envoy holds of each destination's health.

A cluster's name ends in the digest of its content, so a change makes a *new* cluster: the routes
move to it in one step once it is warm, and requests under way end on the old one.

- `stable-<lineage>-…`: the lineage's stable instances.
- `canary-<instance>-…`: the canary, and at a lower priority the stable ones, which answer what the
  canary dies on.
- `shadow-<instance>-…`: gets copies; capped, so that a frozen shadow holds few of them.
- `instance-<id>-…`: one instance alone, for benches and operators' overrides.
- `control`: the control plane.

Health: an endpoint is left out after two failed checks, but never the last one (panic threshold
1 %), since a lone instance that restarts is better retried than refused. What a hanging instance
already has stays with it until it ends or is killed, and is retried elsewhere then.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from o_platform.traffic.snapshot import Canary, Endpoint, LineageRoutes, Shadow, Snapshot
from o_platform.traffic.xds import Json, content_digest, extension, pipe, typed

CONTROL = "control"
SHADOW_MAX_REQUESTS = 8
"""Copies under way at once; more are dropped, as the shadow is then slower than its traffic."""
UPSTREAM_IDLE_S = 60
"""Idle connections are closed after this; servers must keep theirs open for longer."""
MAX_CONNECTIONS = 3_072
"""To one destination at once, each with a request: a turn, or a stream for as long as it is open.
Below the 4 096 files that an instance may have open."""
_LIMITS = {
    "max_connections": MAX_CONNECTIONS,
    "max_pending_requests": 4096,
    "max_requests": 8192,
    "max_retries": 1024,
}
_SHADOW_LIMITS = {
    "max_connections": SHADOW_MAX_REQUESTS,
    "max_pending_requests": SHADOW_MAX_REQUESTS,
    "max_requests": SHADOW_MAX_REQUESTS,
    "max_retries": 0,
}


class _Template(NamedTuple):
    """What clusters of one kind have in common."""

    body: Json
    digest: str

    @classmethod
    def of(cls, body: Json) -> _Template:
        return cls(body, content_digest(body))


def clusters(snapshot: Snapshot) -> list[Json]:
    """Every cluster the snapshot's routes name, each once, sorted by name."""
    found = {CONTROL: control_cluster(snapshot)}
    for lineage in snapshot.lineages:
        for cluster in _lineage_clusters(lineage):
            found[cluster["name"]] = cluster
    for endpoint in snapshot.benches:
        cluster = instance_cluster(endpoint)
        found[cluster["name"]] = cluster
    return [found[name] for name in sorted(found)]


def control_cluster(snapshot: Snapshot) -> Json:
    """The control plane."""
    tiers = [[snapshot.paths.control_socket]]
    return _plain().body | {"name": CONTROL, "load_assignment": _assignment(CONTROL, tiers)}


def stable_cluster(lineage: LineageRoutes) -> Json:
    """The stable instances of a lineage, of which there must be one at least."""
    return _named(f"stable-{lineage.prefix}", [_sockets(lineage.stable)], _checked())


def canary_cluster(canary: Canary, stable: Sequence[Endpoint]) -> Json:
    """A canary, and behind it the stable instances."""
    tiers = [[canary.endpoint.socket], _sockets(stable)]
    return _named(f"canary-{canary.endpoint.instance_id}", tiers, _checked())


def shadow_cluster(shadow: Shadow) -> Json:
    """A shadow instance."""
    endpoint = shadow.endpoint
    return _named(f"shadow-{endpoint.instance_id}", [[endpoint.socket]], _capped())


def instance_cluster(endpoint: Endpoint) -> Json:
    """One instance alone, without health checks: who asks for it wants its own answer."""
    return _named(f"instance-{endpoint.instance_id}", [[endpoint.socket]], _plain())


def _lineage_clusters(lineage: LineageRoutes) -> list[Json]:
    found = [stable_cluster(lineage)] if lineage.stable else []
    if lineage.canary is not None:
        found.append(canary_cluster(lineage.canary, lineage.stable))
    if lineage.shadow is not None:
        found.append(shadow_cluster(lineage.shadow))
    return found + [instance_cluster(endpoint) for endpoint in lineage.candidates]


def _sockets(endpoints: Sequence[Endpoint]) -> list[str]:
    return [endpoint.socket for endpoint in endpoints]


def _named(name: str, tiers: Sequence[Sequence[str]], template: _Template) -> Json:
    full_name = f"{name}-{content_digest([template.digest, tiers])}"
    return template.body | {"name": full_name, "load_assignment": _assignment(full_name, tiers)}


@cache
def _plain() -> _Template:
    return _Template.of(_base(_LIMITS))


@cache
def _checked() -> _Template:
    return _Template.of(_base(_LIMITS) | {"health_checks": [_health_check()]})


@cache
def _capped() -> _Template:
    return _Template.of(_base(_SHADOW_LIMITS, _unmarked_copies()))


def _base(limits: dict[str, int], filters: Sequence[Json] = ()) -> Json:
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = typed(
        protocol,
        common_http_protocol_options={"idle_timeout": f"{UPSTREAM_IDLE_S}s"},
        explicit_http_config={"http_protocol_options": {}},
    )
    if filters:
        options["http_filters"] = list(filters)
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [limits]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "typed_extension_protocol_options": {protocol: options},
    }


def _unmarked_copies() -> list[Json]:
    """Filters that remove what Envoy adds to a copy, as a variant that is watched could behave."""
    marks = [{"remove": name} for name in ("x-envoy-internal", "x-forwarded-for")]
    return [
        extension(
            "envoy.filters.http.header_mutation",
            "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            mutations={"request_mutations": marks},
        ),
        extension(
            "envoy.filters.http.upstream_codec",
            "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
        ),
    ]


def _health_check() -> Json:
    return {
        "timeout": "0.5s",
        "interval": "0.25s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {
            "path": "/healthz",
            # A 503 must not count at once: every instance says so while the bridge restarts.
            "retriable_statuses": [{"start": 500, "end": 600}],
        },
    }


def _assignment(name: str, tiers: Sequence[Sequence[str]]) -> Json:
    return {
        "cluster_name": name,
        "endpoints": [
            {
                "priority": priority,
                "lb_endpoints": [{"endpoint": {"address": pipe(path)}} for path in tier],
            }
            for priority, tier in enumerate(tier for tier in tiers if tier)
        ],
    }
