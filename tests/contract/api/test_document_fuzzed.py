"""Requests made from the OpenAPI document (schemathesis), what it allows and what it forbids.

Whatever is sent, the answer is one that the document knows, and no failure of the server.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from .test_openapi import SNAPSHOT

pytestmark = pytest.mark.contract

EXAMPLES = 3
"""Of each operation, allowed and forbidden each."""
UNSENT = {"User-Agent", "Accept-Encoding", "Connection"}
"""What schemathesis says about itself."""
BINARY = "POST /o/v1/variants"
"""Its body is a tar; see `tests/unit/images/test_genome.py`."""


def test_nothing_made_from_the_document_fails_the_server(http: httpx.Client) -> None:
    agent = http.post("/v1/agents", json={"memory_blocks": [{"label": "human", "value": "x"}]})
    block = agent.json()["memory"]["blocks"][0]
    known = {"agent_id": agent.json()["id"], "block_id": block["id"], "block_label": "human"}
    document = schemathesis.openapi.from_path(SNAPSHOT)
    answers = [
        answer
        for found in document.get_all_operations()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if found.ok().label != BINARY
        for answer in tried(found.ok(), mode, http, known)
    ]
    assert len(answers) > 200
    assert http.get("/v1/health").status_code == 200


def tried(
    operation: Any,
    mode: GenerationMode,
    http: httpx.Client,
    known: dict[str, str],
    *,
    examples: int = EXAMPLES,
) -> list[httpx.Response]:
    """Send what can be made; the answers, each of which is one that a client is told."""
    answers: list[httpx.Response] = []

    @settings(
        max_examples=examples, database=None, derandomize=True, deadline=None,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    def send(case: Any, is_known: bool) -> None:
        if is_known:
            case.path_parameters |= {k: v for k, v in known.items() if k in case.path_parameters}
        response = http.request(**_request(case, http))
        assert _is_told(response), (operation.label, response.status_code, response.text)
        answers.append(response)

    try:
        send()
    except Unsatisfiable:
        # There is nothing that the document forbids.
        assert mode is GenerationMode.NEGATIVE
    return answers


def _request(case: Any, http: httpx.Client) -> dict[str, Any]:
    request = dict(case.as_transport_kwargs(base_url=str(http.base_url).rstrip("/")))
    headers = {k: v for k, v in request.pop("headers").items() if k not in UNSENT}
    request.pop("cookies")
    if "files" in request:
        request["files"] = [(name, _part(value)) for name, value in request["files"]]
        request.pop("data", None)
    elif "data" in request:
        request["content"] = request.pop("data")
    return request | {"headers": {k: v.encode("latin-1") for k, v in headers.items()}}


def _part(value: Any) -> Any:
    """A part of a form; what is no text is sent as its text."""
    name, content, *rest = value if isinstance(value, tuple) else (None, value)
    return (name, content if isinstance(content, str | bytes) else str(content), *rest)


def _is_told(response: httpx.Response) -> bool:
    """An answer, a refusal, or a 501 or 503 that says why (this control plane starts nothing)."""
    if response.status_code < 500:
        return True
    told = response.json()
    code = told.get("error", told)["code"]
    return (response.status_code, code) in {(501, "not_offered"), (503, "unavailable")}
