"""Agents with `message_buffer_autoclear` are shown no messages of earlier turns."""

from __future__ import annotations

import pytest
from tests.integration.turns.conftest import TurnPlatform

pytestmark = pytest.mark.integration
WEATHER = {"name": "get_weather", "description": "d", "parameters": {"type": "object"}}


def _prompt(platform: TurnPlatform, agent_id: str) -> str:
    turn = platform.letta.agents.messages.create(agent_id, input="show the prompt")
    return str(turn.messages[-1].content)  # type: ignore[union-attr]


def test_it_is_shown_nothing_of_earlier_turns(platform: TurnPlatform) -> None:
    agent = platform.agent(message_buffer_autoclear=True)
    platform.letta.agents.messages.create(agent, input="one")
    assert "2 earlier messages of this conversation are not shown" in _prompt(platform, agent)
    platform.restart_bridge()
    assert "4 earlier messages of this conversation are not shown" in _prompt(platform, agent)
    assert "6 earlier messages of this conversation are not shown" in _prompt(platform, agent)
    shown = platform.http.get(f"/v1/agents/{agent}/context").json()
    assert (shown["messages"], shown["num_recall_memory"]) == ([], 8)
    assert platform.letta.agents.retrieve(agent).message_ids == []
    assert len(list(platform.letta.agents.messages.list(agent))) == 8

    platform.letta.agents.update(agent, message_buffer_autoclear=False)
    assert "All messages of this conversation are shown" in _prompt(platform, agent)


def test_memory_and_the_turn_itself_stay(platform: TurnPlatform) -> None:
    agent = platform.agent(message_buffer_autoclear=True)
    turn = platform.letta.agents.messages.create(agent, input="insert sugar")
    assert "tool said" in str(turn.messages[-1].content)  # type: ignore[union-attr]
    assert "sugar" in _prompt(platform, agent)


@pytest.mark.parametrize("restarts", [False, True])
def test_what_waits_for_an_answer_is_not_forgotten(
    platform: TurnPlatform, *, restarts: bool
) -> None:
    agent = platform.agent(message_buffer_autoclear=True)
    platform.letta.agents.messages.create(agent, input="before")
    tools = [WEATHER]
    asked = platform.letta.agents.messages.create(
        agent,
        input="weather",
        client_tools=tools,  # type: ignore[arg-type]
    )
    assert asked.stop_reason.stop_reason == "requires_approval"
    call_id = asked.messages[-1].tool_calls[0].tool_call_id  # type: ignore[union-attr,index]
    if restarts:
        platform.restart_bridge()
    answer = {"type": "tool", "tool_call_id": call_id, "tool_return": "rain", "status": "success"}
    told = platform.letta.agents.messages.create(
        agent,
        messages=[{"type": "approval", "approvals": [answer]}],  # type: ignore[list-item]
        client_tools=tools,  # type: ignore[arg-type]
    )
    assert "tool said: rain" in str(told.messages[-1].content)  # type: ignore[union-attr]
    assert "not shown here" in _prompt(platform, agent)
