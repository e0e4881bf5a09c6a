"""What an instance refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest

from o_contracts.turns import MAX_BODY_BYTES

pytestmark = pytest.mark.integration

AGENT = "agent-00000001-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        (b"{", ["body"], "json_invalid"),
        (b'{"input": "\xff"}', ["body"], "json_invalid"),
        ([], ["body"], "dict_type"),
        ({}, ["body", "messages"], "missing"),
        ({"messages": []}, ["body", "messages"], "too_short"),
        ({"messages": [{"content": "x"}] * 257}, ["body", "messages"], "too_long"),
        ({"messages": "x"}, ["body", "messages"], "list_type"),
        ({"messages": [{"role": "user"}]}, ["body", "messages", 0, "content"], "missing"),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "king", "content": "x"}]},
            ["body", "messages", 1, "role"],
            "literal_error",
        ),
        (
            {"messages": [{"content": [{"type": "text"}]}]},
            ["body", "messages", 0, "content", 0, "text"],
            "string_type",
        ),
        ({"input": [{"type": "sound"}]}, ["body", "input", 0, "type"], "literal_error"),
        (
            {"input": [{"type": "image", "source": {"type": "url"}}]},
            ["body", "input", 0, "source", "url"],
            "string_type",
        ),
        (
            {"input": [{"type": "image", "source": {"type": "disk"}}]},
            ["body", "input", 0, "source", "type"],
            "literal_error",
        ),
        (
            {"messages": [{"content": "x", "otid": "a\0"}]},
            ["body", "messages", 0, "otid"],
            "value_error",
        ),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ["body"], "json_invalid"),
        ({"input": "x", "max_steps": 0}, ["body", "max_steps"], "greater_than_equal"),
        ({"input": "x", "max_steps": 201}, ["body", "max_steps"], "less_than_equal"),
        ({"input": "x", "max_steps": "many"}, ["body", "max_steps"], "int_type"),
        ({"input": "x", "streaming": "yes"}, ["body", "streaming"], "bool_type"),
        ({"input": "x", "messages": [{"content": "y"}]}, ["body", "input"], "conflict"),
    ],
)
def test_bad_input_is_422_with_the_way_to_the_field(
    instance: Any, body: Any, loc: list[Any], kind: str
) -> None:
    response = instance.send(AGENT, body)
    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert (problem["loc"], problem["type"]) == (loc, kind)
    assert problem["msg"]


def test_a_malformed_id_is_422(instance: Any) -> None:
    response = instance.send("agent-12", {"input": "x"})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["path", "agent_id"]


def test_other_paths_and_methods(instance: Any) -> None:
    assert instance.http.get("/v1/agents/").status_code == 404
    assert instance.http.get(f"/v1/agents/{AGENT}/messages").status_code == 405


def test_a_large_body_is_413_with_or_without_a_length(instance: Any) -> None:
    body = b'{"input": "' + b"x" * MAX_BODY_BYTES + b'"}'
    assert instance.send(AGENT, body).status_code == 413
    chunks = (body[start : start + 65536] for start in range(0, len(body), 65536))
    response = instance.http.post(f"/v1/agents/{AGENT}/messages", content=chunks)
    assert response.status_code == 413


def test_refused_turns_do_not_reach_the_bridge(instance: Any, frame_bridge: Any) -> None:
    instance.send(AGENT, {"messages": []})
    assert frame_bridge.opened == []
