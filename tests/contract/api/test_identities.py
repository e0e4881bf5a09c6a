"""Identities over HTTP, and agents that have them through the real SDK."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from letta_client import Letta

pytestmark = pytest.mark.contract
UNKNOWN = "identity-2f9934b6-6825-4a8e-94de-4a65fb310e72"


def made(http: httpx.Client, key: str, **fields: Any) -> dict[str, Any]:
    body = {"identifier_key": key, "name": key.title(), "identity_type": "user"} | fields
    answer = http.post("/v1/identities/", json=body)
    assert answer.status_code == 200, answer.text
    identity: dict[str, Any] = answer.json()
    return identity


def test_an_identity_lives(http: httpx.Client) -> None:
    age = {"key": "age", "value": 36, "type": "number"}
    ada = made(http, "ada", properties=[age])
    assert ada["properties"] == [age]
    path = f"/v1/identities/{ada['id']}"
    changed = http.patch(path, json={"name": "Ada L."}).json()
    assert (changed["name"], changed["identifier_key"]) == ("Ada L.", "ada")
    assert http.get(path).json() == changed

    body = {"identifier_key": "ada", "name": "Countess", "identity_type": "other"}
    same = http.put("/v1/identities/", json=body).json()
    assert (same["id"], same["name"], same["properties"]) == (ada["id"], "Countess", [])
    new = http.put("/v1/identities/", json=body | {"identifier_key": "new"}).json()
    assert new["id"] != ada["id"]

    assert http.delete(path).status_code == 200
    assert http.get(path).status_code == 404


def test_a_key_is_taken_once(http: httpx.Client) -> None:
    made(http, "ada")
    other = made(http, "bob")
    body = {"identifier_key": "ada", "name": "x", "identity_type": "user"}
    assert http.post("/v1/identities/", json=body).status_code == 409
    answer = http.patch(f"/v1/identities/{other['id']}", json={"identifier_key": "ada"})
    assert answer.status_code == 409
    assert http.post("/v1/identities/", json={"name": "x"}).status_code == 422
    assert http.post("/v1/identities/", json=body | {"block_ids": ["b"]}).status_code == 501


def test_identities_are_listed_by_page_and_filter(http: httpx.Client) -> None:
    ids = [made(http, f"k{number}")["id"] for number in range(3)]
    ids.append(made(http, "acme", identity_type="org")["id"])
    first = http.get("/v1/identities/", params={"order": "asc", "limit": 2}).json()
    rest = http.get("/v1/identities/", params={"order": "asc", "after": first[-1]["id"]}).json()
    assert [one["id"] for one in first + rest] == ids
    orgs = http.get("/v1/identities/", params={"identity_type": "org"}).json()
    assert [one["identifier_key"] for one in orgs] == ["acme"]


def test_agents_have_identities(http: httpx.Client, letta: Letta) -> None:
    ada, bob = made(http, "ada"), made(http, "bob")
    agent = letta.agents.create(identity_ids=[ada["id"]])
    other = letta.agents.create()
    assert agent.identities is not None
    assert [one.identifier_key for one in agent.identities] == ["ada"]
    letta.agents.identities.attach(bob["id"], agent_id=agent.id)
    letta.agents.identities.attach(bob["id"], agent_id=agent.id)
    found = letta.agents.retrieve(agent.id)
    assert [one.id for one in found.identities or []] == [ada["id"], bob["id"]]
    assert http.get(f"/v1/identities/{bob['id']}").json()["agent_ids"] == [agent.id]

    assert [one.id for one in letta.agents.list(identity_id=bob["id"])] == [agent.id]
    assert [one.id for one in letta.agents.list(identifier_keys=["ada", "x"])] == [agent.id]
    assert list(letta.agents.list(identifier_keys=["x"])) == []

    letta.agents.identities.detach(ada["id"], agent_id=agent.id)
    letta.agents.update(other.id, identity_ids=[ada["id"], bob["id"]])
    assert http.get(f"/v1/identities/{ada['id']}").json()["agent_ids"] == [other.id]
    http.delete(f"/v1/identities/{bob['id']}")
    assert letta.agents.retrieve(agent.id).identities == []

    assert http.post("/v1/agents/", json={"identity_ids": [UNKNOWN]}).status_code == 404
    path = f"/v1/agents/{agent.id}/identities/attach/{UNKNOWN}"
    assert http.patch(path).status_code == 404
