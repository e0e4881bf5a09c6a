"""Envoy's own validation of what is rendered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from o_platform.testing import require
from o_platform.traffic.delivery import validate
from o_platform.traffic.keys import Signer
from o_platform.traffic.process import replace_file
from o_platform.traffic.render import render
from o_platform.traffic.snapshot import (
    Canary,
    Endpoint,
    LineageRoutes,
    Listener,
    Paths,
    Shadow,
    Snapshot,
)

pytestmark = pytest.mark.integration


def _endpoint(digit: str) -> Endpoint:
    return Endpoint(digit * 12, digit * 64, f"/run/o/instances/{digit * 12}/in/agent.sock")


def _snapshot(folder: Path) -> Snapshot:
    full = LineageRoutes(
        key=1,
        name="default",
        stable=(_endpoint("1"), _endpoint("2")),
        canary=Canary(_endpoint("3"), 50),
        shadow=Shadow(_endpoint("4"), 1000),
        observed=True,
    )
    return Snapshot(
        listener=Listener("::", 8283, tls=True, auth_required=True),
        paths=Paths(str(folder), "/run/o/control.sock"),
        jwks=Signer(folder).jwks,
        default_key=1,
        lineages=(full, LineageRoutes(2, "empty", ())),
        benches=(_endpoint("5"),),
        revoked=frozenset(f"key-{number}" for number in range(500)),
    )


async def test_envoy_accepts_the_fullest_and_the_emptiest_configuration(short_tmp: Path) -> None:
    require("envoy")
    (short_tmp / "sds").mkdir()
    replace_file(short_tmp / "sds" / "sds.json", "{}", owner=short_tmp)
    full = _snapshot(short_tmp)
    empty = replace(full, lineages=(), benches=(), revoked=frozenset())
    plain = replace(empty, listener=Listener("127.0.0.1", 8283, tls=False, auth_required=False))
    for snapshot in (full, empty, plain):
        assert await validate(render(snapshot)) is None


async def test_envoy_says_what_it_does_not_accept(short_tmp: Path) -> None:
    require("envoy")
    snapshot = replace(
        _snapshot(short_tmp), listener=Listener("nowhere", 8283, tls=False, auth_required=False)
    )
    assert "malformed IP address: nowhere" in (await validate(render(snapshot)) or "")
