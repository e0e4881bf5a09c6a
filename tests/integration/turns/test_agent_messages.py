"""Agents that write to each other, as a program on the SDK sees it."""

from __future__ import annotations

import pytest
from letta_client.types import ToolReturnMessage
from letta_client.types.agents import UserMessage
from tests.integration.turns.conftest import TurnPlatform

pytestmark = pytest.mark.integration
WAIT = "send_message_to_agent_and_wait_for_reply"


def test_an_agent_asks_another_and_gets_its_answer(platform: TurnPlatform) -> None:
    letta = platform.letta
    (tool,) = letta.tools.list(name=WAIT)
    assert (tool.tool_type, tool.tags) == ("letta_multi_agent_core", ["letta_multi_agent_core"])
    bob = letta.agents.create(name="Bob", model="o/echo")
    ada = letta.agents.create(name="Ada", model="o/scripted", tools=[WAIT])
    turn = letta.agents.messages.create(ada.id, input=f"ask {bob.id} what is new")
    (returned,) = [one for one in turn.messages if isinstance(one, ToolReturnMessage)]
    assert returned.status == "success"
    assert returned.tool_return.startswith(f"echo: This is from the agent 'Ada' ({ada.id}).")
    assert returned.tool_return.endswith("what is new")
    (run,) = letta.runs.list(agent_id=bob.id)
    assert (run.status, run.background) == ("completed", True)
    (heard,) = [m for m in letta.agents.messages.list(bob.id) if isinstance(m, UserMessage)]
    assert str(heard.content).endswith("what is new")


def test_an_agent_that_fails_is_told_of(platform: TurnPlatform) -> None:
    letta = platform.letta
    bob = letta.agents.create(name="Bob", model="o/scripted")
    ada = letta.agents.create(name="Ada", model="o/scripted", tools=[WAIT])
    said = f"ask {bob.id} since you last looked, stumble"
    turn = letta.agents.messages.create(ada.id, input=said)
    (returned,) = [one for one in turn.messages if isinstance(one, ToolReturnMessage)]
    assert returned.status == "error"
    assert "Bob failed: the script says no" in returned.tool_return
