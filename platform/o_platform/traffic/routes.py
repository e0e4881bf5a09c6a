"""The route table: which request goes where, for whom.

In this order: revoked keys are refused; operator routes need the role; turns go to instances, by
an operator's override or by their lineage; all else goes to the control plane. Lineages are found
by one look-up of the path's prefix, however many there are.

A lineage's turns are split by a hash of the agent's routing key (the first two groups of its UUID),
never by chance: the canary is listed first, so an agent that has it at 10 % has it at 30 % too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from o_platform.traffic import clusters
from o_platform.traffic.snapshot import (
    FULL_PERMILLE,
    Canary,
    Endpoint,
    LineageRoutes,
    Shadow,
    Snapshot,
)
from o_platform.traffic.xds import (
    Json,
    all_of,
    any_of,
    first_match,
    full_match,
    header_is,
    lookup,
    negation,
    typed,
)

ROUTES_NAME: Final = "routes"
METADATA: Final = "o"
"""Namespace of the metadata of routes; `observe` makes the log keep successes."""
LISTENER_HEADER: Final = "x-o-listener"
"""Set by each listener: `public` or `internal`. Nothing else can set it."""
INSTANCE_HEADER: Final = "x-o-instance"
VARIANT_HEADER: Final = "x-o-variant"
VARIANT_DIGITS: Final = 12
"""How many of a variant's hex digits an override needs."""
STREAM_IDLE_S: Final = 300
"""A turn may be silent for this long; it has no other time limit here."""
OPERATOR_PATH: Final = r"(?i)(/|%2f)+(o|%6f)(/|%2f)+(v|%76)(1|%31)(([/?]|%2f).*)?"
"""`/o/v1…`, also in spellings that the control plane would decode to it."""
ABORT_PATH: Final = r"/o/v1/rollouts/[^/?]+/abort(\?.*)?"
"""May be sent twice, so it is, when the control plane dies with it in its hands."""
UPLOAD_PATH: Final = r"/(v1/agents/import|v1/folders/[^/?]+/upload|o/v1/takeover/[^?]+)/?(\?.*)?"
"""Bodies that may be larger than others: passed on as they come, and so never sent twice."""
BODY_LIMIT: Final = "envoy.filters.http.buffer"
ROUTING_KEY: Final = r"^/v1/(?:agents/agent|conversations/conv)-([0-9a-f]{8}-[0-9a-f]{4}).*$"

_PRIVATE_HEADERS = (
    "x-o-role",
    "x-o-key",
    INSTANCE_HEADER,
    VARIANT_HEADER,
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-internal",
)
"""What an instance has no business to know."""


@dataclass(frozen=True, slots=True)
class TurnRoute:
    """A request that instances answer."""

    method: str
    path: str
    """With `{agent_id}` for the id whose first group names the lineage."""
    id_pattern: str = "[^/?]+"

    @property
    def pattern(self) -> str:
        """Regular expression of the whole `:path`, the query string included."""
        head, tail = self.path.split("{agent_id}")
        return rf"{re.escape(head)}{self.id_pattern}{re.escape(tail)}(\?.*)?"


TURN_ROUTES: Final = (
    TurnRoute("POST", "/v1/agents/{agent_id}/messages"),
    TurnRoute("POST", "/v1/agents/{agent_id}/messages/stream"),
    # Not `default`, which is the conversation of an agent that the body names.
    TurnRoute("POST", "/v1/conversations/{agent_id}/messages", "conv-[^/?]+"),
    # No turns, but about the windows that turns have, which only the genome's code can make.
    TurnRoute("GET", "/v1/agents/{agent_id}/context"),
    TurnRoute("POST", "/v1/agents/{agent_id}/recompile"),
    TurnRoute("POST", "/v1/agents/{agent_id}/summarize"),
    TurnRoute("POST", "/v1/conversations/{agent_id}/recompile", "conv-[^/?]+"),
    TurnRoute("POST", "/v1/conversations/{agent_id}/compact", "conv-[^/?]+"),
)
"""Everything that is not in this list is the control plane's."""


def route_configuration(snapshot: Snapshot) -> Json:
    """The one route configuration that both listeners use."""
    return {
        "name": ROUTES_NAME,
        "validate_clusters": False,
        "request_headers_to_remove": ["authorization", LISTENER_HEADER],
        "virtual_hosts": [
            {
                "name": "o",
                "domains": ["*"],
                "include_request_attempt_count": True,
                "request_body_buffer_limit": snapshot.max_body_bytes,
                "matcher": _table(snapshot),
            }
        ],
    }


def _table(snapshot: Snapshot) -> Json:
    cases = [
        (all_of(header_is(":path", full_match(OPERATOR_PATH)), negation(_trusted())), _refuse(403)),
        (_is_turn(), {"matcher": _turns(snapshot)}),
        (_is_repeatable(), _control("reset")),
        (header_is(":path", full_match(UPLOAD_PATH)), _control(**_UNLIMITED)),
    ]
    if snapshot.revoked:
        cases.insert(0, (header_is("x-o-key", full_match(_one_of(snapshot.revoked))), _refuse(401)))
    return first_match(cases, _control())


def _trusted() -> Json:
    """Came from the platform itself, or with an operator's key."""
    return any_of(
        header_is(LISTENER_HEADER, {"exact": "internal"}),
        header_is("x-o-role", {"exact": "operator"}),
    )


def _is_repeatable() -> Json:
    return any_of(
        header_is(":method", full_match("GET|HEAD")), header_is(":path", full_match(ABORT_PATH))
    )


def _is_turn() -> Json:
    return any_of(
        *(
            all_of(
                header_is(":method", {"exact": route.method}),
                header_is(":path", full_match(route.pattern)),
            )
            for route in TURN_ROUTES
        )
    )


def _turns(snapshot: Snapshot) -> Json:
    overrides = [
        (all_of(_present(INSTANCE_HEADER), _trusted()), {"matcher": _by_instance(snapshot)}),
        (all_of(_present(VARIANT_HEADER), _trusted()), {"matcher": _by_variant(snapshot)}),
    ]
    return first_match(overrides, {"matcher": _by_lineage(snapshot)})


def _by_lineage(snapshot: Snapshot) -> Json:
    routes = {
        prefix: _split(lineage) for lineage in snapshot.lineages for prefix in _prefixes(lineage)
    }
    known = {lineage.key: lineage for lineage in snapshot.lineages}
    default = known.get(snapshot.default_key)
    return lookup(":path", "prefix", routes, _split(default) if default else _refuse(503))


def _by_instance(snapshot: Snapshot) -> Json:
    targets = list(snapshot.benches)
    for lineage in snapshot.lineages:
        targets += lineage.candidates
    routes = {target.instance_id: _alone(target) for target in targets}
    return lookup(INSTANCE_HEADER, "exact", routes, _refuse(404))


def _by_variant(snapshot: Snapshot) -> Json:
    routes = {
        prefix: {"matcher": _variants(lineage)}
        for lineage in snapshot.lineages
        if lineage.candidates
        for prefix in _prefixes(lineage)
    }
    return lookup(":path", "prefix", routes, _refuse(404))


def _variants(lineage: LineageRoutes) -> Json:
    """A rollout's candidate under its variant's name, the stable instances under theirs."""
    routes = {}
    if lineage.stable:
        routes[lineage.stable[0].variant[:VARIANT_DIGITS]] = _turn(cluster=_stable_name(lineage))
    for endpoint in reversed(lineage.candidates):
        routes[endpoint.variant[:VARIANT_DIGITS]] = _alone(endpoint)
    return lookup(VARIANT_HEADER, "prefix", routes, _refuse(404))


def _alone(endpoint: Endpoint) -> Json:
    return _turn(cluster=clusters.instance_cluster(endpoint)["name"])


def _split(lineage: LineageRoutes) -> Json:
    if not lineage.stable:
        return _refuse(503)
    target: Json = {"cluster": _stable_name(lineage)}
    if lineage.canary is not None:
        target = _weighted(lineage, lineage.canary)
    if lineage.shadow is not None:
        target["request_mirror_policies"] = [_mirror(lineage.shadow)]
    return _turn(observed=lineage.observed, **target)


def _weighted(lineage: LineageRoutes, canary: Canary) -> Json:
    name = clusters.canary_cluster(canary, lineage.stable)["name"]
    shares = [
        {"name": name, "weight": canary.weight_permille},
        {"name": _stable_name(lineage), "weight": FULL_PERMILLE - canary.weight_permille},
    ]
    rewrite = {"pattern": {"regex": ROUTING_KEY}, "substitution": r"\1"}
    return {
        "weighted_clusters": {"use_hash_policy": True, "clusters": shares},
        "hash_policy": [{"header": {"header_name": ":path", "regex_rewrite": rewrite}}],
    }


def _stable_name(lineage: LineageRoutes) -> str:
    return str(clusters.stable_cluster(lineage)["name"])


def _mirror(shadow: Shadow) -> Json:
    share = {"numerator": shadow.mirror_permille * 10, "denominator": "TEN_THOUSAND"}
    return {
        "cluster": clusters.shadow_cluster(shadow)["name"],
        "runtime_fraction": {"default_value": share},
        "disable_shadow_host_suffix_append": True,
    }


def _turn(*, observed: bool = True, **target: Any) -> Json:
    route: Json = {
        "match": {"prefix": "/"},
        "request_headers_to_remove": list(_PRIVATE_HEADERS),
        "route": {
            "timeout": "0s",
            "idle_timeout": f"{STREAM_IDLE_S}s",
            "retry_policy": _retries("connect-failure,refused-stream,reset,reset-before-request"),
            **target,
        },
    }
    if observed:
        route["metadata"] = {"filter_metadata": {METADATA: {"observe": True}}}
    return _action(route)


def _control(extra_retry: str = "", **more: Any) -> Json:
    retry_on = "connect-failure,refused-stream,reset-before-request"
    return _action(
        {
            **more,
            "match": {"prefix": "/"},
            "route": {
                "cluster": clusters.CONTROL,
                "timeout": "0s",
                "idle_timeout": f"{STREAM_IDLE_S}s",
                "retry_policy": _retries(f"{retry_on},{extra_retry}".rstrip(",")),
            },
        }
    )


_UNLIMITED: Final[Json] = {
    "typed_per_filter_config": {
        BODY_LIMIT: typed("envoy.extensions.filters.http.buffer.v3.BufferPerRoute", disabled=True)
    }
}
"""The control plane counts these bodies itself (`O_MAX_UPLOAD_BYTES`)."""


def _retries(retry_on: str) -> Json:
    """Up to 16 tries over about 0.7 s, each elsewhere as long as there is an elsewhere."""
    priorities = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
    hosts = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    return {
        "retry_on": retry_on,
        "num_retries": 16,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": typed(priorities, update_frequency=1),
        },
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": typed(hosts)}
        ],
        "host_selection_retry_max_attempts": 3,
    }


def _refuse(status: int) -> Json:
    """A direct answer; the listener's local reply gives it its body."""
    return _action({"match": {"prefix": "/"}, "direct_response": {"status": status}})


def _action(route: Json) -> Json:
    message = "envoy.config.route.v3.Route"
    return {"action": {"name": "route", "typed_config": typed(message, **route)}}


def _present(header: str) -> Json:
    return header_is(header, full_match(".+"))


def _prefixes(lineage: LineageRoutes) -> tuple[str, str]:
    """How the paths of this lineage's turns begin: agents' ids, and their conversations'."""
    prefix = lineage.prefix
    return f"/v1/agents/agent-{prefix}-", f"/v1/conversations/conv-{prefix}-"


def _one_of(values: frozenset[str]) -> str:
    return "|".join(re.escape(value) for value in sorted(values))
