"""What cannot be parsed, stored or meant is refused with the place of it, and changes nothing."""

from __future__ import annotations

from itertools import product

import httpx
import pytest

pytestmark = pytest.mark.contract

DEEP = b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BODIES = ("/v1/agents", "/v1/blocks", "/o/v1/keys", "/o/v1/lineages", "/o/v1/rollouts")
LISTS = (
    "/v1/agents?name={}", "/v1/agents?query_text={}", "/v1/agents?tags={}", "/v1/blocks?label={}",
    "/v1/tags?name={}", "/v1/runs?statuses={}", "/v1/steps?model={}", "/o/v1/variants?lineage={}",
    "/o/v1/attempts?lineage={}", "/o/v1/rollouts?lineage={}", "/o/v1/events?kind={}",
)  # fmt: skip


JSON = {"content-type": "application/json"}
NO_JSON = (
    (b"{", "Expecting property name"),
    (b'{"name": "\xff"}', "can't decode byte 0xff"),
    (b'{"name": ' + b"9" * 5000 + b"}", "4300 digits"),
    (DEEP, "recursion"),
)
TEXTS = (
    ("/v1/agents", "name", b'{"name": "%s"}'),
    ("/v1/agents", "metadata", b'{"metadata": {"a": ["%s"]}}'),
    ("/v1/agents", "tags", b'{"tags": ["%s"]}'),
    ("/v1/agents", "secrets", b'{"secrets": {"a": "%s"}}'),
    (
        "/v1/agents",
        "tool_rules",
        b'{"tool_rules": [{"type": "run_first", "tool_name": "a", "args": ["%s"]}]}',
    ),
    ("/v1/blocks", "value", b'{"label": "a", "value": "%s"}'),
    ("/o/v1/keys", "name", b'{"name": "%s"}'),
    ("/o/v1/lineages", "name", b'{"name": "%s"}'),
    ("/o/v1/evolve", "lineage", b'{"lineage": "%s"}'),
    ("/o/v1/rollouts", "variant", b'{"variant": "%s"}'),
    ("/o/v1/rollouts", "policy", b'{"variant": "abcd", "policy": {"name": "%s"}}'),
)


def test_a_body_that_is_not_json(http: httpx.Client) -> None:
    for path, (body, says) in product(BODIES, NO_JSON):
        response = http.post(path, content=body, headers=JSON)
        assert (path, says, response.status_code) == (path, says, 422)
        (problem,) = response.json()["detail"]
        assert (problem["loc"][0], problem["type"]) == ("body", "json_invalid")
        assert says in problem["msg"]


def test_a_body_of_another_type(http: httpx.Client) -> None:
    for path, body in product(BODIES, (b"[]", b"null", b"7", b'"text"', b"")):
        response = http.post(path, content=body, headers=JSON)
        assert (path, body, response.status_code) == (path, body, 422)
        assert response.json()["detail"][0]["loc"] == ["body"]


def test_text_that_cannot_be_stored(http: httpx.Client) -> None:
    for (path, field, body), character in product(TEXTS, (b"\\u0000", b"\\ud800")):
        response = http.post(path, content=body % character, headers=JSON)
        assert (path, field, response.status_code) == (path, field, 422)
        assert response.json()["detail"][0]["loc"][:2] == ["body", field]
    assert http.get("/v1/agents").json() == http.get("/v1/blocks").json() == []


def test_a_nul_in_a_path_or_a_query(http: httpx.Client) -> None:
    paths = ["/v1/agents/%00", "/o/v1/variants/%00", *(path.format("%00") for path in LISTS)]
    for path in paths:
        response = http.get(path)
        assert (path, response.status_code) == (path, 422)
        assert "NUL" in response.json()["detail"]


def test_text_in_a_query_that_is_not_utf_8_finds_nothing(http: httpx.Client) -> None:
    for path in LISTS:
        response = http.get(path.format("%ff%fe"))
        assert (path, response.status_code) in {(path, 200), (path, 404), (path, 422)}


def test_numbers_out_of_range(http: httpx.Client) -> None:
    fields = ("/v1/agents?limit=", "/v1/runs?limit=", "/o/v1/events?after=", "/o/v1/events?limit=")
    for field, number in product(fields, ("-1", "99999999999999999999", "1e5", "", "many")):
        response = http.get(field + number)
        assert (field, number, response.status_code) == (field, number, 422)
        assert response.json()["detail"][0]["loc"][0] == "query"


def test_the_last_of_two_equal_keys_counts_and_unknown_parameters_are_ignored(
    http: httpx.Client,
) -> None:
    body = b'{"label": "first", "label": "second", "value": "v"}'
    created = http.post("/v1/blocks", content=body, headers=JSON)
    assert created.json()["label"] == "second"
    assert len(http.get("/v1/blocks?no_such_parameter=1").json()) == 1
