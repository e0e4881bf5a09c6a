"""The whole configuration of Envoy from a snapshot: pure, and equal for equal snapshots.

Each file carries the digest of its content as its version, by which delivery later recognises that
Envoy took it. `without_files` inlines the dynamic files, for Envoy's own validation: it ignores
them otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from o_platform.traffic.bootstrap import bootstrap
from o_platform.traffic.clusters import clusters
from o_platform.traffic.listeners import listeners
from o_platform.traffic.routes import route_configuration
from o_platform.traffic.snapshot import Snapshot
from o_platform.traffic.xds import Json, canonical, content_digest, resource_file, typed


@dataclass(frozen=True, slots=True)
class EnvoyConfig:
    """The files of one configuration, as text."""

    bootstrap: str
    lds: str
    rds: str
    cds: str

    @property
    def version(self) -> str:
        """Twelve hex digits that name the routes, clusters and listeners together."""
        return content_digest([self.lds, self.rds, self.cds])


def render(snapshot: Snapshot) -> EnvoyConfig:
    """The configuration that serves `snapshot`."""
    ordered = replace(
        snapshot, lineages=tuple(sorted(snapshot.lineages, key=lambda lineage: lineage.key))
    )
    routes = route_configuration(ordered)
    return EnvoyConfig(
        bootstrap=canonical(bootstrap(ordered.paths)),
        lds=resource_file(listeners(ordered)),
        rds=resource_file([typed("envoy.config.route.v3.RouteConfiguration", **routes)]),
        cds=resource_file(clusters(ordered)),
    )


def file_version(text: str) -> str:
    """The `version_info` of a rendered file."""
    return str(json.loads(text)["version_info"])


def with_clusters_of(config: EnvoyConfig, earlier_cds: str) -> str:
    """The clusters of `config` and those of an earlier file that it leaves out.

    Routes in force may still name the earlier ones until the new routes have arrived.
    """
    found: dict[str, Json] = {}
    for text in (earlier_cds, config.cds):
        found |= {cluster["name"]: cluster for cluster in json.loads(text)["resources"]}
    return resource_file([found[name] for name in sorted(found)])


def without_files(config: EnvoyConfig) -> str:
    """A bootstrap that holds everything itself."""
    routes = json.loads(config.rds)["resources"][0]
    static_listeners = json.loads(config.lds)["resources"]
    for listener in static_listeners:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        del manager["rds"]
        manager["route_config"] = {key: routes[key] for key in routes if key != "@type"}
        del listener["@type"]
    static_clusters = json.loads(config.cds)["resources"]
    for cluster in static_clusters:
        del cluster["@type"]
    whole = json.loads(config.bootstrap)
    del whole["dynamic_resources"]
    whole["static_resources"] = {"listeners": static_listeners, "clusters": static_clusters}
    return canonical(whole)
