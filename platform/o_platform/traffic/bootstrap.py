"""What Envoy starts with, and how it is started: everything else it reads from watched files."""

from __future__ import annotations

from o_platform.traffic.snapshot import Paths
from o_platform.traffic.xds import Json, pipe, typed, watched_file

MAX_CONNECTIONS = 8192
"""Clients' connections at once; more are closed at once."""
MAX_HEAP_BYTES = 512 * 1024 * 1024
"""Above 95 % of it new requests get 503."""


def bootstrap(paths: Paths) -> Json:
    """The bootstrap: admin socket, folders to watch, overload protection."""
    return {
        "node": {"id": "o", "cluster": "o"},
        "admin": {"address": pipe(paths.admin_socket, 0o600)},
        "dynamic_resources": {
            "cds_config": watched_file(paths.resource("cds")),
            "lds_config": watched_file(paths.resource("lds")),
        },
        "stats_flush_interval": "1s",
        "overload_manager": _overload(),
    }


def _overload() -> Json:
    connections = typed(
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=MAX_CONNECTIONS,
    )
    heap = typed(
        "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
        max_heap_size_bytes=MAX_HEAP_BYTES,
    )
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": connections,
            },
            {"name": "envoy.resource_monitors.fixed_heap", "typed_config": heap},
        ],
        "actions": [
            _action("envoy.overload_actions.shrink_heap", 0.90),
            _action("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
    }


def _action(name: str, threshold: float) -> Json:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
    return {"name": name, "triggers": [trigger]}
