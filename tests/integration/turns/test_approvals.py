"""Approvals and client-side tools: asked for, answered once, over restarts of everything."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.integration.turns.conftest import TurnPlatform

pytestmark = pytest.mark.integration
GATED = [{"type": "requires_approval", "tool_name": "memory_insert"}]
WEATHER = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}


def kinds(messages: Any) -> list[str]:
    return [message.message_type for message in messages]


def human(platform: TurnPlatform, agent_id: str) -> str:
    return str(platform.letta.agents.blocks.retrieve("human", agent_id=agent_id).value)


def asked(platform: TurnPlatform, agent_id: str, text: str = "insert bread") -> Any:
    turn = platform.letta.agents.messages.create(agent_id, input=text)
    assert turn.stop_reason.stop_reason == "requires_approval"
    return turn.messages[-1]


def answer(request: Any, **fields: Any) -> dict[str, Any]:
    call_id = request.tool_calls[0].tool_call_id
    return {
        "type": "approval",
        "approvals": [{"type": "approval", "tool_call_id": call_id, **fields}],
    }


def test_an_approval_survives_restarts_and_happens_once(platform: TurnPlatform) -> None:
    agent_id = platform.agent(tool_rules=GATED)
    request = asked(platform, agent_id)
    assert request.message_type == "approval_request_message"
    assert request.tool_call.name == "memory_insert"
    shown = platform.letta.agents.retrieve(agent_id).pending_approval
    assert shown is not None
    assert (shown.id, shown.tool_call.arguments) == (request.id, request.tool_call.arguments)

    refused = platform.send(agent_id, {"input": "hello?"})
    assert refused.status_code == 409
    assert refused.headers["x-should-retry"] == "false"
    assert refused.json()["detail"]["code"] == "PENDING_APPROVAL"
    assert refused.json()["detail"]["pending_request_id"] == request.id
    assert "bread" not in human(platform, agent_id)

    platform.restart_bridge()
    platform.kill_workers()
    body = {"messages": [{**answer(request, approve=True), "otid": "answer-1"}]}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: platform.send(agent_id, body), range(4)))
    assert {response.status_code for response in answers} == {200}
    assert len({response.json()["usage"]["run_ids"][0] for response in answers}) == 1
    made = answers[0].json()["messages"]
    assert [m["message_type"] for m in made] == ["tool_return_message", "assistant_message"]
    assert made[0]["tool_call_id"] == request.tool_call.tool_call_id
    assert human(platform, agent_id).count("bread") == 1

    again = platform.send(agent_id, {"messages": [answer(request, approve=True)]})
    assert (again.status_code, again.json()["code"]) == (400, "no_pending_approval")
    assert platform.letta.agents.retrieve(agent_id).pending_approval is None
    listed = platform.letta.agents.messages.list(agent_id, order="asc").items
    assert kinds(listed) == [
        "user_message",
        "assistant_message",
        "approval_request_message",
        "approval_response_message",
        "tool_return_message",
        "assistant_message",
    ]
    assert listed[3].approvals[0].approve is True
    follow = platform.letta.agents.messages.create(agent_id, input="fine")
    assert follow.messages[0].content == "scripted: fine"


def test_a_denial_reaches_the_model_with_its_reason(platform: TurnPlatform) -> None:
    agent_id = platform.agent(tool_rules=GATED)
    request = asked(platform, agent_id)
    wrong = answer(request, approve=True)
    wrong["approvals"][0]["tool_call_id"] = "call_other"
    assert platform.send(agent_id, {"messages": [wrong]}).status_code == 400
    turn = platform.letta.agents.messages.create(
        agent_id,
        messages=[
            {"type": "approval", "approve": False, "reason": "no bread today",
             "approval_request_id": request.id},
        ],
    )  # fmt: skip
    assert turn.messages[0].status == "error"
    assert "no bread today" in turn.messages[-1].content
    assert "bread" not in human(platform, agent_id)


def test_a_stream_asks_and_a_stream_answers(platform: TurnPlatform) -> None:
    agent_id = platform.agent(tool_rules=GATED)
    messages = platform.letta.agents.messages
    said = [{"role": "user", "content": "insert milk"}]
    events = list(messages.create(agent_id, messages=said, streaming=True, stream_tokens=True))
    pieces = [e for e in events if e.message_type == "approval_request_message"]
    assert len({piece.id for piece in pieces}) == 1
    assert "".join(p.tool_call.arguments or "" for p in pieces).count("milk") == 1
    assert [e.stop_reason for e in events if e.message_type == "stop_reason"] == [
        "requires_approval"
    ]
    stored = messages.list(agent_id).items[0]
    assert stored.id == pieces[0].id
    approval = answer(stored, approve=True)
    events = list(messages.create(agent_id, messages=[approval], streaming=True))
    assert kinds(events)[:3] == ["ping", "tool_return_message", "assistant_message"]
    assert "milk" in human(platform, agent_id)


@pytest.mark.parametrize("form", ["approval", "tool_return"])
def test_a_client_runs_its_own_tool(platform: TurnPlatform, form: str) -> None:
    agent_id = platform.agent()
    messages = platform.letta.agents.messages
    turn = messages.create(agent_id, input="the weather?", client_tools=[WEATHER])
    assert turn.stop_reason.stop_reason == "requires_approval"
    call = turn.messages[-1].tool_calls[0]
    done = {
        "type": "tool",
        "tool_call_id": call.tool_call_id,
        "tool_return": "sunny in Paris",
        "status": "success",
    }
    answered = {"type": "approval", "approvals": [done]}
    if form == "tool_return":
        answered = {"type": "tool_return", "tool_returns": [done]}
    turn = messages.create(agent_id, messages=[answered], client_tools=[WEATHER])
    assert turn.messages[-1].content == "tool said: sunny in Paris"
    assert turn.stop_reason.stop_reason == "end_turn"


def test_the_history_can_be_reset_while_something_waits(platform: TurnPlatform) -> None:
    agent_id = platform.agent(tool_rules=GATED)
    asked(platform, agent_id)
    platform.letta.agents.messages.reset(agent_id)
    turn = platform.letta.agents.messages.create(agent_id, input="go on")
    assert turn.messages[0].content == "scripted: go on"


def test_calls_at_once_keep_their_order(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    turn = platform.letta.agents.messages.create(agent_id, input="both jam")
    assert kinds(turn.messages)[:3] == [
        "tool_call_message",
        "tool_return_message",
        "tool_return_message",
    ]
    ids = [call.tool_call_id for call in turn.messages[0].tool_calls]
    assert [m.tool_call_id for m in turn.messages[1:3]] == ids
    assert "jam" in human(platform, agent_id)
