"""Every path that the SDK calls is answered: by a route, or by 501 with a sentence."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import letta_client
import pytest
from letta_client import Letta

from o_platform.api.surface import NOT_OFFERED

pytestmark = pytest.mark.contract

OFFERED = {
    "GET /v1/health/",
    "POST /v1/agents/",
    "GET /v1/agents/",
    "GET /v1/agents/{agent_id}",
    "PATCH /v1/agents/{agent_id}",
    "DELETE /v1/agents/{agent_id}",
    "GET /v1/agents/{agent_id}/export",
    "POST /v1/agents/import",
    "GET /v1/agents/{agent_id}/messages",
    "PATCH /v1/agents/{agent_id}/reset-messages",
    "POST /v1/agents/{agent_id}/messages/cancel",
    "GET /v1/agents/{agent_id}/core-memory/blocks",
    "GET /v1/agents/{agent_id}/core-memory/blocks/{block_label}",
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/{block_label}",
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/attach/{block_id}",
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/detach/{block_id}",
    "POST /v1/conversations/",
    "GET /v1/conversations/",
    "GET /v1/conversations/{conversation_id}",
    "PATCH /v1/conversations/{conversation_id}",
    "DELETE /v1/conversations/{conversation_id}",
    "GET /v1/conversations/{conversation_id}/messages",
    "POST /v1/conversations/{conversation_id}/messages",
    "POST /v1/conversations/{conversation_id}/fork",
    "POST /v1/conversations/{conversation_id}/cancel",
    "POST /v1/conversations/{conversation_id}/stream",
    "POST /v1/agents/{agent_id}/messages/async",
    "POST /v1/runs/{path_run_id}/stream",
    "POST /v1/blocks/",
    "GET /v1/blocks/",
    "GET /v1/blocks/{block_id}",
    "PATCH /v1/blocks/{block_id}",
    "DELETE /v1/blocks/{block_id}",
    "GET /v1/blocks/{block_id}/agents",
    "POST /v1/archives/",
    "GET /v1/archives/",
    "GET /v1/archives/{archive_id}",
    "PATCH /v1/archives/{archive_id}",
    "DELETE /v1/archives/{archive_id}",
    "POST /v1/archives/{archive_id}/passages",
    "POST /v1/archives/{archive_id}/passages/batch",
    "DELETE /v1/archives/{archive_id}/passages/{passage_id}",
    "PATCH /v1/agents/{agent_id}/archives/attach/{archive_id}",
    "PATCH /v1/agents/{agent_id}/archives/detach/{archive_id}",
    "POST /v1/agents/{agent_id}/archival-memory",
    "GET /v1/agents/{agent_id}/archival-memory",
    "GET /v1/agents/{agent_id}/archival-memory/search",
    "DELETE /v1/agents/{agent_id}/archival-memory/{memory_id}",
    "POST /v1/passages/search",
    "POST /v1/tools/",
    "PUT /v1/tools/",
    "GET /v1/tools/",
    "POST /v1/tools/search",
    "GET /v1/tools/{tool_id}",
    "PATCH /v1/tools/{tool_id}",
    "DELETE /v1/tools/{tool_id}",
    "GET /v1/agents/{agent_id}/tools",
    "PATCH /v1/agents/{agent_id}/tools/attach/{tool_id}",
    "PATCH /v1/agents/{agent_id}/tools/detach/{tool_id}",
    "PATCH /v1/agents/{agent_id}/tools/approval/{tool_name}",
    "POST /v1/agents/{agent_id}/tools/{tool_name}/run",
    "POST /v1/folders/",
    "GET /v1/folders/",
    "GET /v1/folders/{folder_id}",
    "PATCH /v1/folders/{folder_id}",
    "DELETE /v1/folders/{folder_id}",
    "GET /v1/folders/{folder_id}/agents",
    "GET /v1/folders/{folder_id}/files",
    "GET /v1/folders/{folder_id}/files/{file_id}",
    "POST /v1/folders/{folder_id}/upload",
    "DELETE /v1/folders/{folder_id}/{file_id}",
    "GET /v1/agents/{agent_id}/folders",
    "PATCH /v1/agents/{agent_id}/folders/attach/{folder_id}",
    "PATCH /v1/agents/{agent_id}/folders/detach/{folder_id}",
    "GET /v1/agents/{agent_id}/files",
    "PATCH /v1/agents/{agent_id}/files/close-all",
    "PATCH /v1/agents/{agent_id}/files/{file_id}/open",
    "PATCH /v1/agents/{agent_id}/files/{file_id}/close",
    "POST /v1/mcp-servers/",
    "GET /v1/mcp-servers/",
    "GET /v1/mcp-servers/{mcp_server_id}",
    "PATCH /v1/mcp-servers/{mcp_server_id}",
    "DELETE /v1/mcp-servers/{mcp_server_id}",
    "PATCH /v1/mcp-servers/{mcp_server_id}/refresh",
    "GET /v1/mcp-servers/{mcp_server_id}/tools",
    "GET /v1/mcp-servers/{mcp_server_id}/tools/{tool_id}",
    "POST /v1/mcp-servers/{mcp_server_id}/tools/{tool_id}/run",
    "GET /v1/models/",
    "GET /v1/models/embedding",
    "GET /v1/tags/",
    "GET /v1/runs/",
    "GET /v1/runs/{run_id}",
    "GET /v1/runs/{run_id}/messages",
    "GET /v1/runs/{run_id}/steps",
    "GET /v1/runs/{run_id}/usage",
    "GET /v1/steps/",
    "GET /v1/steps/{step_id}",
    "GET /v1/steps/{step_id}/metrics",
    "GET /v1/steps/{step_id}/messages",
    "GET /v1/steps/{step_id}/trace",
    "PATCH /v1/steps/{step_id}/feedback",
    "GET /v1/runs/{run_id}/trace",
    "GET /v1/messages/",
    "GET /v1/messages/{message_id}",
    "POST /v1/messages/search",
    "PATCH /v1/agents/{agent_id}/identities/attach/{identity_id}",
    "PATCH /v1/agents/{agent_id}/identities/detach/{identity_id}",
    "GET /v1/agents/{agent_id}/schedule",
    "POST /v1/agents/{agent_id}/schedule",
    "GET /v1/agents/{agent_id}/schedule/{scheduled_message_id}",
    "DELETE /v1/agents/{agent_id}/schedule/{scheduled_message_id}",
}
"""What the control plane answers itself."""
SENT_ON = {
    "POST /v1/conversations/{conversation_id}/compact",
    "POST /v1/conversations/{conversation_id}/recompile",
}
"""What instances answer, and the control plane sends on for default conversations."""

_CALLS = {"_get", "_post", "_put", "_patch", "_delete", "_get_api_list", "get"}


def sdk_calls() -> Iterator[str]:
    """`METHOD /path` of every call that the SDK's source makes."""
    package = Path(letta_client.__file__).parent
    for file in [package / "_client.py", *sorted((package / "resources").rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield from _call(node, node.func.attr)


def _call(node: ast.Call, name: str) -> Iterator[str]:
    if name not in _CALLS or not node.args:
        return
    path = node.args[0]
    if isinstance(path, ast.Call):
        path = path.args[0]
    if isinstance(path, ast.Constant) and str(path.value).startswith("/v1"):
        listing = [k.value for k in node.keywords if k.arg == "method"]
        method = name.strip("_").replace("get_api_list", "get")
        if listing and isinstance(listing[0], ast.Constant):
            method = str(listing[0].value)
        yield f"{method.upper()} {path.value}"


SDK_CALLS = sorted(set(sdk_calls()))


def test_the_sdk_was_read() -> None:
    assert len(SDK_CALLS) > 120
    assert set(SDK_CALLS) > OFFERED | SENT_ON


def _without_the_bridge(call: str) -> set[int]:
    """What a call answers here, where no bridge runs that knows the turns under way."""
    return {503} if call.endswith("/cancel") else set()


def test_every_call_of_the_sdk_is_answered(http: httpx.Client, letta: Letta) -> None:
    agent = letta.agents.create(memory_blocks=[{"label": "human", "value": "x"}])
    for call in SDK_CALLS:
        method, _, template = call.partition(" ")
        path = template.replace("{agent_id}", agent.id)
        path = path.replace("{block_id}", str(agent.blocks[0].id))
        path = re.sub(r"{\w+}", "unknown", path)
        if call in OFFERED | SENT_ON:
            answer = http.request(method, path if method != "DELETE" else path + "x", json={})
            assert answer.status_code in {200, 404, 422} | _without_the_bridge(call), call
            assert "there is no path" not in answer.text, call
        else:
            answer = http.request(method, path, json={})
            assert answer.status_code == 501, call
            assert answer.json()["code"] == "not_offered"
            assert answer.headers["x-should-retry"] == "false"
            assert " " in answer.json()["detail"]


def test_unknown_paths_and_methods(http: httpx.Client) -> None:
    unknown = http.get("/v1/no-such-thing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert http.put("/v1/agents/").status_code == 405


def test_nothing_is_listed_twice() -> None:
    listed = [f"{method} {row.path}" for row in NOT_OFFERED for method in row.methods.split()]
    assert len(set(listed)) == len(listed)


def test_a_trailing_slash_makes_no_difference(http: httpx.Client) -> None:
    for path in ("/v1/health", "/v1/health/", "/v1/agents", "/v1/models/embedding/"):
        assert http.get(path).status_code == 200
