"""Which request reaches which backend, through a real Envoy."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.integration
AGENT = "agent-00000001-aaaa-4bbb-8ccc-dddddddddddd"

CONVERSATION = "conv-00000001-aaaa-4bbb-8ccc-eeeeeeeeeeee"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", f"/v1/agents/{AGENT}/messages", "stable"),
        ("POST", f"/v1/agents/{AGENT}/messages?x=1", "stable"),
        ("POST", f"/v1/agents/{AGENT}/messages/stream", "stable"),
        ("GET", f"/v1/agents/{AGENT}/messages", "control"),
        ("POST", f"/v1/agents/{AGENT}/messages/async", "control"),
        ("POST", f"/v1/agents/{AGENT}/messages/cancel", "control"),
        ("POST", f"/v1/agents/{AGENT}/messages/", "control"),
        ("PATCH", f"/v1/agents/{AGENT}/messages", "control"),
        ("POST", "/v1/agents/", "control"),
        ("GET", "/v1/health/", "control"),
        ("POST", f"/v1/conversations/{CONVERSATION}/messages", "stable"),
        ("GET", f"/v1/conversations/{CONVERSATION}/messages", "control"),
        ("POST", f"/v1/conversations/{CONVERSATION}/fork", "control"),
        ("POST", "/v1/conversations/default/messages", "control"),
        ("POST", "/v1/chat/completions", "control"),
        ("GET", "/", "control"),
    ],
)
async def test_turns_go_to_instances_and_all_else_to_the_control_plane(
    edge: Any, method: str, path: str, expected: str
) -> None:
    async with edge.client() as client:
        answer = await client.request(method, path)
    assert answer.status_code == 200
    assert answer.json()["backend"] == expected


async def test_a_lineage_is_found_by_its_agents_ids(edge: Any) -> None:
    other = edge.lineage(key=0x2A, name="other", stable=(edge.endpoint("other"),))
    await edge.serve(edge.lineage(), other)
    async with edge.client() as client:
        answers = [(await client.post(edge.turn(key))).json() for key in (1, 0x2A, 0xDEAD)]
    assert [answer["backend"] for answer in answers] == ["stable", "other", "stable"]


async def test_turns_of_a_lineage_without_an_instance_are_refused_as_temporary(edge: Any) -> None:
    await edge.serve(edge.lineage(stable=()))
    async with edge.client() as client:
        answer = await client.post(edge.turn())
    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"


async def test_what_outsiders_set_is_not_believed_and_instances_learn_little(edge: Any) -> None:
    forged = {
        "x-request-id": "forged",
        "x-o-client": "root",
        "x-o-role": "operator",
        "x-o-key": "key-2",
        "x-o-shadow": "1",
        "x-o-listener": "internal",
        "x-o-instance": edge.endpoint("bench").instance_id,
        "x-o-variant": "f" * 64,
        "x-envoy-max-retries": "0",
        "x-forwarded-for": "10.1.2.3",
        "authorization": "Bearer anything",
        "x-o-lineage": "kept",
    }
    await edge.serve(benches=(edge.endpoint("bench"),))
    async with edge.client() as client:
        answer = await client.post(edge.turn(), headers=forged, json={})
        operator = await client.get("/o/v1/rollouts", headers=forged)
    seen = answer.json()
    assert seen["backend"] == "stable"
    assert set(seen["headers"]) == {
        *("host", "accept", "accept-encoding", "user-agent", "content-length", "content-type"),
        *("x-request-id", "x-envoy-attempt-count", "x-o-lineage"),
    }
    assert seen["headers"]["x-request-id"] == answer.headers["x-request-id"] != "forged"
    assert operator.status_code == 401


async def test_the_platform_itself_may_say_who_asks_and_which_instance_answers(edge: Any) -> None:
    bench = edge.endpoint("bench")
    await edge.serve(benches=(bench,))
    headers = {
        "x-o-instance": bench.instance_id,
        "x-o-client": "load gate",
        "x-request-id": "mine",
        "x-o-listener": "public",
    }
    async with edge.client(internal=True) as client:
        chosen = (await client.post(edge.turn(), headers=headers)).json()
        listed = (await client.get("/o/v1/rollouts")).json()
        plain = (await client.post(edge.turn(), headers={"x-o-client": "ada"})).json()
        unknown = await client.post(edge.turn(), headers={"x-o-instance": "0123456789ab"})
    assert chosen["backend"] == "bench"
    assert chosen["headers"]["x-o-client"] == "load gate"
    assert chosen["headers"]["x-request-id"] == "mine"
    # What a bench sees is what every instance sees: it cannot know that it is judged.
    assert set(chosen["headers"]) == set(plain["headers"])
    assert listed["backend"] == "control"
    assert unknown.status_code == 404
    assert unknown.json()["code"] == "not_found"


async def test_an_operator_chooses_an_instance_or_a_variant_and_a_client_cannot(edge: Any) -> None:
    canary = edge.endpoint("canary")
    await edge.serve(edge.lineage(canary=edge.canary(0)))
    by_instance = {"x-o-instance": canary.instance_id}
    by_variant = {"x-o-variant": canary.variant}
    by_short_variant = {"x-o-variant": canary.variant[:12]}
    by_stable_variant = {"x-o-variant": edge.endpoint("stable").variant}
    path = edge.turn()
    async with edge.client() as client:

        async def served(role: Any, override: dict[str, str]) -> Any:
            answer = await client.post(path, headers={**edge.bearer(role), **override})
            return answer.json().get("backend") or answer.json()["code"]

        assert await served("operator", {}) == "stable"
        assert await served("operator", by_instance) == "canary"
        assert await served("operator", by_variant) == "canary"
        assert await served("operator", by_short_variant) == "canary"
        assert await served("operator", by_stable_variant) == "stable"
        assert await served("operator", {"x-o-variant": "0" * 64}) == "not_found"
        assert await served("client", by_instance) == "stable"
        assert await served("client", by_variant) == "stable"
