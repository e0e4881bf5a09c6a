"""Sleep-time companions: agents that keep the memory of another one after some of its turns."""

from __future__ import annotations

import pytest
from letta_client.types import AgentState
from letta_client.types.agents import Run
from tests.integration.turns.conftest import TurnPlatform

from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration


def _made(platform: TurnPlatform, *, frequency: int = 1) -> AgentState:
    """An agent with a companion that works after every `frequency` turns."""
    agent_id = platform.agent(enable_sleeptime=True)
    agent = platform.letta.agents.retrieve(agent_id)
    assert agent.managed_group is not None
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": frequency}
    platform.letta.patch(
        f"/v1/groups/{agent.managed_group.id}", cast_to=object, body={"manager_config": config}
    )
    return agent


def _companion(agent: AgentState) -> str:
    assert agent.managed_group is not None
    return agent.managed_group.agent_ids[0]


def _human(platform: TurnPlatform, agent_id: str) -> str:
    return platform.letta.agents.blocks.retrieve("human", agent_id=agent_id).value


async def _ended(platform: TurnPlatform, run_id: str) -> Run:
    def over() -> Run | None:
        run = platform.letta.runs.retrieve(run_id)
        return run if run.status in {"completed", "failed"} else None

    return await until(over)


async def test_a_companion_learns_from_every_second_turn(platform: TurnPlatform) -> None:
    agent = _made(platform, frequency=2)
    told = platform.letta.agents.messages.create
    first = told(agent.id, input="learn that tea")
    assert first.usage.run_ids is not None
    assert len(first.usage.run_ids) == 1
    second = told(agent.id, input="and nothing else")
    assert second.usage.run_ids is not None
    own, begun = second.usage.run_ids
    assert own != begun
    run = await _ended(platform, begun)
    assert (run.status, run.background, run.agent_id) == ("completed", True, _companion(agent))
    assert "learned tea" in _human(platform, agent.id)
    (handed,) = [
        m.content
        for m in platform.letta.agents.messages.list(_companion(agent))
        if m.message_type == "user_message"
    ]
    for said in ("[user] learn that tea", "[assistant] scripted:", "[user] and nothing else"):
        assert said in str(handed)

    group = platform.letta.agents.retrieve(agent.id).managed_group
    assert group is not None
    newest = next(iter(platform.letta.agents.messages.list(agent.id)))
    assert (group.turns_counter, group.last_processed_message_id) == (2, newest.id)
    shown = told(agent.id, input="show the prompt").messages[-1]
    assert "learned tea" in str(shown.content)  # type: ignore[union-attr]


async def test_conversations_count_too_and_nothing_is_handed_twice(
    platform: TurnPlatform,
) -> None:
    agent = _made(platform)
    conversation = platform.letta.conversations.create(agent_id=agent.id)
    said = ("learn that coffee", "learn that milk")
    for text in said:
        with platform.letta.conversations.messages.create(conversation.id, input=text) as stream:
            events = list(stream)
        usage = next(e for e in events if e.message_type == "usage_statistics")
        assert usage.run_ids is not None
        assert (await _ended(platform, usage.run_ids[1])).status == "completed"
    value = _human(platform, agent.id)
    assert (value.count("coffee"), value.count("milk")) == (1, 1)


async def test_what_a_failed_run_was_handed_is_in_the_next(platform: TurnPlatform) -> None:
    agent = _made(platform)
    tell = platform.letta.agents.messages.create
    failing = platform.letta.agents.update(_companion(agent), tool_ids=[])
    assert failing.tools == []
    # Without its tools only the rule that fails applies to what it is handed.
    first = tell(agent.id, input="learn that stumbles pass").usage.run_ids
    assert first is not None
    assert (await _ended(platform, first[1])).status == "failed"
    ids = [tool.id for name in ("memory_insert", "memory_finish_edits")
           for tool in platform.letta.tools.list(name=name)]  # fmt: skip
    platform.letta.agents.update(_companion(agent), tool_ids=ids)
    second = tell(agent.id, input="go on").usage.run_ids
    assert second is not None
    assert (await _ended(platform, second[1])).status == "completed"
    assert "learned stumbles" in _human(platform, agent.id)


async def test_a_run_survives_the_death_of_the_bridge(platform: TurnPlatform) -> None:
    agent = _made(platform)
    begun = platform.letta.agents.messages.create(agent.id, input="learn that tides").usage.run_ids
    assert begun is not None
    platform.restart_bridge()
    assert (await _ended(platform, begun[1])).status == "completed"
    assert _human(platform, agent.id).count("learned tides") == 1


def test_a_cancelled_or_waiting_turn_does_not_count(platform: TurnPlatform) -> None:
    agent = _made(platform)
    approval = {"name": "get_weather", "description": "d", "parameters": {"type": "object"}}
    turn = platform.letta.agents.messages.create(
        agent.id,
        input="weather",
        client_tools=[approval],  # type: ignore[list-item]
    )
    assert turn.stop_reason.stop_reason == "requires_approval"
    assert turn.usage.run_ids is not None
    assert len(turn.usage.run_ids) == 1
