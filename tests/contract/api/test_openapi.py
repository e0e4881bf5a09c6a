"""The OpenAPI document is what was reviewed: a change of it shows in the snapshot.

`O_UPDATE_SNAPSHOTS=1 pytest tests/contract/api/test_openapi.py` writes it anew.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.contract
SNAPSHOT = Path(__file__).parent / "openapi.json"


def test_snapshot(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    document["info"]["version"] = "any"
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("O_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text(), "run with O_UPDATE_SNAPSHOTS=1 and review the difference"


def test_turns_are_in_the_one_document(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    schemas, paths = document["components"]["schemas"], document["paths"]
    turn = paths["/v1/agents/{agent_id}/messages"]
    assert {"get", "post"} <= set(turn)
    assert "post" in paths["/v1/agents/{agent_id}/messages/stream"]
    reference = turn["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference.rpartition("/")[2] in schemas
    missing = [
        part
        for part in _references(document)
        if part.removeprefix("#/components/schemas/") not in schemas
    ]
    assert missing == []


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [part for value in node.values() for part in _references(value)]
    if isinstance(node, list):
        return [part for value in node for part in _references(value)]
    return []


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_of_the_api_need_no_other_host(http: httpx.Client, page: str) -> None:
    text = http.get(page).text
    wanted = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert any(address.endswith(".js") for address in wanted)
    for address in wanted:
        assert address.startswith("/docs/assets/")
        assert http.get(address).status_code == 200
