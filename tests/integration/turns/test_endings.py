"""How turns end that something came in between; and what is kept of what they were told."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from tests.integration.turns.conftest import TurnPlatform
from tests.integration.turns.test_cancel import active

from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration


def test_a_conversation_is_deleted_during_its_turn(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    conversation = platform.letta.conversations.create(agent_id=agent_id)
    path = f"/v1/conversations/{conversation.id}/messages"
    body = {"input": "say words", "streaming": True, "stream_tokens": True}
    with ThreadPoolExecutor(1) as pool:
        plain = pool.submit(platform.http.post, path, json=body)
        active(platform, agent_id, 1)
        platform.letta.conversations.delete(conversation.id)
        text = plain.result(30).text
    assert "error_message" in text
    assert f"{conversation.id} not found" in text or f"Agent {agent_id} not found" in text
    assert text.endswith("data: [DONE]\n\n")

    def idle() -> bool:
        return platform.letta.runs.list(agent_id=agent_id, active=True).items == []

    assert asyncio.run(until(idle, 30))
    assert platform.letta.runs.list(agent_id=agent_id).items == []
    assert platform.http.post(path, json={"input": "hi"}).status_code == 404
    follow: Any = platform.letta.agents.messages.create(agent_id, input="fine")
    assert follow.messages[0].content == "scripted: fine"


def test_a_failed_turn_leaves_its_run_and_may_be_sent_again(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    body = {"messages": [{"role": "user", "content": "fail at first", "otid": str(uuid4())}]}
    text = platform.http.post(
        f"/v1/agents/{agent_id}/messages", json={**body, "streaming": True}
    ).text
    failed = re.findall(r"run-[0-9a-f-]{36}", text)[0]
    runs = platform.letta.runs

    def kept() -> bool:
        return [run.id for run in runs.list(agent_id=agent_id, statuses=["failed"])] == [failed]

    assert asyncio.run(until(kept, 30))
    run = runs.retrieve(failed)
    assert (run.status, run.stop_reason, run.background) == ("failed", "llm_api_error", False)
    assert run.metadata is not None
    assert run.metadata["error"] == {"code": "llm_bad_request", "message": "not yet"}
    assert list(runs.messages.list(failed)) == []
    (step,) = runs.steps.list(failed)
    assert (step.status, step.stop_reason) == ("failed", "llm_api_error")
    assert (step.error_type, step.error_data) == ("llm_bad_request", {"message": "not yet"})
    assert (step.api_model_handle, step.total_tokens) == ("o/scripted", 0)
    assert step.cached_input_tokens is None
    assert list(platform.letta.steps.messages.list(step.id)) == []
    assert platform.letta.steps.metrics.retrieve(step.id).llm_request_ns == 0
    trace = platform.letta.steps.trace.retrieve(step.id)
    assert trace is not None
    assert trace.request_json == {"model": "scripted"}
    assert trace.response_json == {"error": run.metadata["error"]}
    again = platform.http.post(f"/v1/agents/{agent_id}/messages", json=body).json()
    assert again["messages"][-1]["content"] == "now it works"
    (other,) = again["usage"]["run_ids"]
    assert other != failed
    (step,) = runs.steps.list(other)
    assert (step.status, step.error_type, step.error_data) == ("success", None, None)
    assert (step.cached_input_tokens, step.reasoning_tokens) == (0, 0)
    assert step.prompt_tokens_details == {"cached_tokens": 0}
    assert step.completion_tokens_details == {"reasoning_tokens": 0}
    assert "error" not in (runs.retrieve(other).metadata or {})
    assert [run.id for run in runs.list(agent_id=agent_id)] == [other, failed]
    fresh = platform.agent()
    assert platform.http.post(f"/v1/agents/{fresh}/summarize", json={}).status_code == 400
    assert list(runs.list(agent_id=fresh)) == []


def test_a_reminder_of_a_required_tool_is_kept(platform: TurnPlatform) -> None:
    rules: Any = [{"type": "required_before_exit", "tool_name": "memory_insert"}]
    agent_id = platform.agent(tool_rules=rules)
    turn = platform.letta.agents.messages.create(agent_id, input="hello")
    kinds = [m.message_type for m in turn.messages]
    assert "event_message" not in kinds
    assert "tool_return_message" in kinds
    stored = platform.letta.agents.messages.list(agent_id, order="asc").items
    (event,) = (m for m in stored if m.message_type == "event_message")
    assert "call memory_insert before you finish" in str(event.event_data["text"])
    assert stored.index(event) == 2
    shown = platform.http.get(f"/v1/agents/{agent_id}/context").json()["messages"]
    assert "<event>" in shown[2]["content"][0]["text"]
