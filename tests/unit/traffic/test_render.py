"""The rendered configuration, by its properties."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_contracts.ids import new_agent_id, new_conversation_id, routing_key
from o_platform.runtimes.docker import OPEN_FILES
from o_platform.traffic.clusters import clusters
from o_platform.traffic.render import EnvoyConfig, file_version, render, with_clusters_of
from o_platform.traffic.routes import OPERATOR_PATH, ROUTING_KEY, TURN_ROUTES
from o_platform.traffic.snapshot import (
    Canary,
    Endpoint,
    LineageRoutes,
    Listener,
    Paths,
    Shadow,
    Snapshot,
)

pytestmark = pytest.mark.unit
lean = settings(max_examples=50, deadline=None)

hex_digits = st.text("0123456789abcdef", min_size=12, max_size=12)
endpoints = st.builds(
    lambda name, variant: Endpoint(name, variant * 64, f"/run/instances/{name}/in/agent.sock"),
    hex_digits,
    st.sampled_from("0123456789abcdef"),
)
permille = st.integers(0, 1000)
lineages = st.builds(
    LineageRoutes,
    key=st.integers(1, 2**32 - 1),
    name=st.just("x"),
    stable=st.lists(endpoints, max_size=3).map(tuple),
    canary=st.none() | st.builds(Canary, endpoints, permille),
    shadow=st.none() | st.builds(Shadow, endpoints, permille),
    observed=st.booleans(),
)
snapshots = st.builds(
    Snapshot,
    listener=st.builds(Listener, st.just("127.0.0.1"), st.just(8283), st.booleans(), st.booleans()),
    paths=st.just(Paths("/run/o/envoy", "/run/o/control.sock")),
    jwks=st.just('{"keys": []}'),
    default_key=st.just(1),
    lineages=st.lists(lineages, max_size=5, unique_by=lambda one: one.key).map(tuple),
    benches=st.lists(endpoints, max_size=2).map(tuple),
    revoked=st.frozensets(st.sampled_from(["key-1", "key-2"])),
)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)


def _targets(config: EnvoyConfig) -> set[str]:
    """Every cluster that a route names."""
    found = set()
    for item in _objects(json.loads(config.rds)):
        if isinstance(item.get("cluster"), str):
            found.add(item["cluster"])
        if "weighted_clusters" in item:
            found |= {share["name"] for share in item["weighted_clusters"]["clusters"]}
    return found


def _clusters(cds: str) -> dict[str, Any]:
    return {cluster["name"]: cluster for cluster in json.loads(cds)["resources"]}


@lean
@given(snapshots)
def test_equal_snapshots_render_equally_in_any_order(snapshot: Snapshot) -> None:
    turned = replace(snapshot, lineages=snapshot.lineages[::-1], benches=snapshot.benches)
    assert render(snapshot) == render(turned)
    assert render(snapshot).version == render(turned).version


@lean
@given(snapshots)
def test_every_route_leads_to_a_cluster_and_every_cluster_is_reached(snapshot: Snapshot) -> None:
    config = render(snapshot)
    reached, known = _targets(config), set(_clusters(config.cds))
    assert reached <= known
    unreached = known - reached
    dormant = {one.prefix for one in snapshot.lineages if not one.stable}
    assert not unreached or dormant or any(one.canary for one in snapshot.lineages)


@lean
@given(snapshots)
def test_the_canary_comes_first_with_its_weight_and_stable_has_the_rest(
    snapshot: Snapshot,
) -> None:
    config = render(snapshot)
    wanted = {one.canary.weight_permille for one in snapshot.lineages if one.canary and one.stable}
    found = set()
    for item in _objects(json.loads(config.rds)):
        if "weighted_clusters" in item:
            first, second = item["weighted_clusters"]["clusters"]
            assert item["weighted_clusters"]["use_hash_policy"]
            assert first["name"].startswith("canary-")
            assert second["name"].startswith("stable-")
            assert first["weight"] + second["weight"] == 1000
            found.add(first["weight"])
    assert found == wanted


@lean
@given(snapshots)
def test_behind_every_canary_stand_the_stable_instances(snapshot: Snapshot) -> None:
    known = _clusters(render(snapshot).cds)
    for lineage in snapshot.lineages:
        if lineage.canary is None:
            continue
        prefix = f"canary-{lineage.canary.endpoint.instance_id}-"
        tiers = [
            [
                [host["endpoint"]["address"]["pipe"]["path"] for host in tier["lb_endpoints"]]
                for tier in cluster["load_assignment"]["endpoints"]
            ]
            for name, cluster in known.items()
            if name.startswith(prefix)
        ]
        stable = [endpoint.socket for endpoint in lineage.stable]
        assert [[lineage.canary.endpoint.socket], *([stable] if stable else [])] in tiers


@lean
@given(snapshots, permille)
def test_a_change_of_weight_changes_routes_only(snapshot: Snapshot, weight: int) -> None:
    changed = tuple(
        replace(one, canary=replace(one.canary, weight_permille=weight)) if one.canary else one
        for one in snapshot.lineages
    )
    before, after = render(snapshot), render(replace(snapshot, lineages=changed))
    assert (before.cds, before.lds, before.bootstrap) == (after.cds, after.lds, after.bootstrap)
    assert (before.version == after.version) == (before.rds == after.rds)


@lean
@given(snapshots, snapshots)
def test_the_step_between_two_configurations_holds_the_clusters_of_both(
    old: Snapshot, new: Snapshot
) -> None:
    before, after = render(old), render(new)
    both = with_clusters_of(after, before.cds)
    assert set(_clusters(both)) == set(_clusters(before.cds)) | set(_clusters(after.cds))
    assert with_clusters_of(after, after.cds) == after.cds
    assert file_version(both) == json.loads(both)["version_info"]


@lean
@given(st.integers(0, 2**32 - 1), st.sampled_from(["", "?a=1", "/"]))
def test_the_hash_is_of_the_routing_key_alone(key: int, tail: str) -> None:
    agent = new_agent_id(key)
    for route in TURN_ROUTES:
        thread = new_conversation_id(agent) if "conversations" in route.path else agent
        path = route.path.format(agent_id=thread) + tail
        assert re.sub(ROUTING_KEY, r"\1", path) == routing_key(agent)


@pytest.mark.parametrize(
    ("path", "is_turn"),
    [
        ("/v1/agents/agent-1/messages", True),
        ("/v1/agents/agent-1/messages/stream", True),
        ("/v1/agents/agent-1/messages?x=/", True),
        ("/v1/agents/agent-1/messages/async", False),
        ("/v1/agents/agent-1/x/messages", False),
        ("/v1/agents//messages", False),
        ("/x/v1/agents/agent-1/messages", False),
        ("/v1/agents/agent-1/messagesx", False),
        ("/v1/conversations/conv-1/messages", True),
        ("/v1/conversations/default/messages", False),
        ("/v1/conversations/conv-1/messages/stream", False),
    ],
)
def test_turns_are_told_by_their_whole_path(path: str, is_turn: bool) -> None:
    assert any(re.fullmatch(route.pattern, path) for route in TURN_ROUTES) is is_turn


@pytest.mark.parametrize(
    ("path", "is_operators"),
    [
        *(("/o/v1", True), ("/o/v1/x", True), ("/o/v1?x", True), ("/O%2fv1/x", True)),
        *(("/o/v10", False), ("/v1/o/v1", False), ("/foo/v1", False), ("/o", False)),
    ],
)
def test_operators_paths(path: str, is_operators: bool) -> None:
    assert (re.fullmatch(OPERATOR_PATH, path) is not None) is is_operators


def test_snapshots_refuse_what_cannot_be() -> None:
    endpoint = Endpoint("0" * 12, "f" * 64, "/run/agent.sock")
    with pytest.raises(ValueError, match="weight_permille"):
        Canary(endpoint, 1001)
    with pytest.raises(ValueError, match="mirror_permille"):
        Shadow(endpoint, -1)
    with pytest.raises(ValueError, match="O_RUN_DIR"):
        Endpoint("0" * 12, "f" * 64, "/" + "x" * 107)
    lineage = LineageRoutes(1, "a", ())
    with pytest.raises(ValueError, match="routing key"):
        Snapshot(
            listener=Listener("127.0.0.1", 8283, tls=False, auth_required=False),
            paths=Paths("/run", "/run/control.sock"),
            jwks="{}",
            default_key=1,
            lineages=(lineage, replace(lineage, name="b")),
        )


def test_as_many_streams_may_be_open_as_an_instance_has_files_for() -> None:
    lineage = LineageRoutes(1, "default", (Endpoint("a" * 12, "b" * 64, "/run/a"),))
    listener = Listener("127.0.0.1", 8283, tls=False, auth_required=False)
    snapshot = Snapshot(listener, Paths("/run/o", "/run/c"), "{}", 1, (lineage,))
    for cluster in clusters(snapshot):
        (limits,) = cluster["circuit_breakers"]["thresholds"]
        assert 2_000 < limits["max_connections"] < min(OPEN_FILES, limits["max_requests"])
