"""The operator's routes that need no running instance; the rest is in tests/integration/api."""

from __future__ import annotations

import httpx
import pytest

from o_platform.images.genome import Genome

pytestmark = pytest.mark.contract
TAR = {"content-type": "application/x-tar"}
FIRST = Genome.from_files({"genome.toml": b"", "prompts/system.md": b"Be brief.\n"})
SECOND = Genome.from_files({"genome.toml": b"", "prompts/system.md": b"Be kind.\n"})


def save(http: httpx.Client, genome: Genome, lineage: str = "default") -> httpx.Response:
    params = {"lineage": lineage}
    return http.post("/o/v1/variants", content=genome.tar, headers=TAR, params=params)


def test_variants(http: httpx.Client) -> None:
    first = save(http, FIRST).json()
    assert first == {"digest": FIRST.digest, "created": True}
    assert save(http, FIRST).json()["created"] is False
    save(http, SECOND, lineage="other")
    assert {v["digest"] for v in http.get("/o/v1/variants").json()} == {
        FIRST.digest,
        SECOND.digest,
    }
    listed = http.get("/o/v1/variants", params={"lineage": "default"}).json()
    assert [(v["digest"], v["status"], v["origin"]) for v in listed] == [
        (FIRST.digest, "candidate", "operator")
    ]
    shown = http.get(f"/o/v1/variants/{FIRST.digest[:8]}").json()
    assert shown["files"]["prompts/system.md"] == "Be brief.\n"
    assert shown["lineages"] == {"default": "candidate"}
    diff = http.get(f"/o/v1/variants/{FIRST.digest[:8]}/diff/{SECOND.digest[:8]}").json()
    assert "-Be brief.\n+Be kind.\n" in diff["diff"]
    assert (diff["a"], diff["b"]) == (FIRST.digest, SECOND.digest)


def test_bad_variants(http: httpx.Client) -> None:
    wrong_type = http.post("/o/v1/variants", content=FIRST.tar)
    assert (wrong_type.status_code, wrong_type.json()["code"]) == (422, "bad_input")
    not_a_tar = http.post("/o/v1/variants", content=b"no tar", headers=TAR)
    assert (not_a_tar.status_code, not_a_tar.json()["code"]) == (422, "build_failed")
    assert save(http, FIRST, lineage="nowhere").status_code == 404
    assert http.get("/o/v1/variants").json() == []
    assert http.get("/o/v1/variants/ffff").status_code == 404
    assert http.get("/o/v1/variants/xyz").status_code == 422
    assert http.get("/o/v1/variants", params={"lineage": "nowhere"}).status_code == 404


def test_lineages(http: httpx.Client) -> None:
    save(http, FIRST)
    body = {"name": "support", "variant": FIRST.digest[:8]}
    made = http.post("/o/v1/lineages", json=body).json()
    assert (made["name"], made["stable_variant"]) == ("support", FIRST.digest)
    assert made["key"] not in {1, 0x2A}
    assert http.post("/o/v1/lineages", json=body).status_code == 409
    assert http.post("/o/v1/lineages", json={"name": "Not A Name"}).status_code == 422
    names = [lineage["name"] for lineage in http.get("/o/v1/lineages").json()]
    assert names == ["default", "other", "support"]
    agent = http.post("/v1/agents/", json={}, headers={"X-O-Lineage": "support"}).json()
    assert agent["id"].startswith(f"agent-{made['key']:08x}-")


def test_listings_without_anything(http: httpx.Client) -> None:
    for path in ("rollouts", "instances", "events"):
        assert http.get(f"/o/v1/{path}").json() == []
    assert {policy["name"] for policy in http.get("/o/v1/policies").json()} >= {"default", "demo"}
    for path in ("rollouts/rollout-1", "rollouts/rollout-1/events"):
        assert http.get(f"/o/v1/{path}").status_code == 404
    assert http.get("/o/v1/events", params={"limit": 0}).status_code == 422


def test_one_that_has_not_come_up_says_so(http: httpx.Client) -> None:
    status = http.get("/o/v1/status").json()
    assert status["healthy"] is False
    assert {"seed", "engine and routes", "parts"} <= set(status["coming"])
    assert status["background"]["seed"]["condition"] == "waiting"
    for path, body in (
        ("keys", {"name": "n", "role": "client"}),
        ("evolve", {}),
    ):
        answer = http.post(f"/o/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]


def test_one_that_has_not_come_up_steers_rollouts(http: httpx.Client) -> None:
    for path, body in (("rollouts", {"variant": "ffff"}), ("rollouts/rollout-1/abort", {})):
        answer = http.post(f"/o/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
