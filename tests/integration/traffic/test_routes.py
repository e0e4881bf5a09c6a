"""Which request reaches which backend, through a real Envoy."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.integration
AGENT = "agent-00000001-aaaa-4bbb-8ccc-dddddddddddd"


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
        ("POST", "/v1/conversations/conv-00000001-aaaa/messages", "control"),
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
