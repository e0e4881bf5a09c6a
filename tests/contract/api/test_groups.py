"""Agents whose memory a sleep-time companion keeps, by the SDK; and `/v1/groups`."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from letta_client.types import AgentState

pytestmark = pytest.mark.contract
HUMAN = [{"label": "human", "value": "Ada"}]


def _companion(letta: Letta, agent: AgentState) -> AgentState:
    assert agent.managed_group is not None
    return letta.agents.retrieve(agent.managed_group.agent_ids[0])


def _tools(agent: AgentState) -> list[str]:
    return [str(tool.name) for tool in agent.tools]


def _groups(letta: Letta, **query: Any) -> list[Any]:
    found = letta.get("/v1/groups/", cast_to=object, options={"params": query})
    assert isinstance(found, list)
    return found


def test_an_agent_is_made_with_a_companion(letta: Letta) -> None:
    agent = letta.agents.create(
        name="ada", model="openai/gpt-x", enable_sleeptime=True, memory_blocks=HUMAN, tags=["a"],
        model_settings={"provider_type": "openai", "temperature": 0.3},
    )  # fmt: skip
    assert agent.enable_sleeptime is True
    assert _tools(agent) == ["conversation_search"]
    group = agent.managed_group
    assert group is not None
    assert (group.manager_type, group.manager_agent_id) == ("sleeptime", agent.id)
    assert (group.sleeptime_agent_frequency, group.turns_counter) == (5, 0)
    assert agent.multi_agent_group is not None
    assert agent.multi_agent_group.id == group.id

    companion = _companion(letta, agent)
    assert (companion.name, companion.agent_type) == ("ada-sleeptime", "sleeptime_agent")
    assert companion.model == "openai/gpt-x"
    assert companion.llm_config.temperature == 0.3
    assert "memory_rethink" in _tools(companion)
    assert "memory_finish_edits" in _tools(companion)
    assert [block.id for block in companion.blocks] == [block.id for block in agent.blocks]
    assert (companion.managed_group, companion.enable_sleeptime) == (None, None)
    assert [found.id for found in letta.agents.list(tags=["a"])] == [agent.id]
    listed = letta.agents.list(name="ada").items[0]
    assert listed.managed_group == letta.agents.retrieve(agent.id).managed_group == group


def test_it_is_switched_on_and_off(letta: Letta) -> None:
    agent = letta.agents.create(memory_blocks=HUMAN)
    before = _tools(agent)
    assert agent.managed_group is None
    on = letta.agents.update(agent.id, enable_sleeptime=True)
    companion = _companion(letta, on)
    assert _tools(on) == ["conversation_search"]
    again = letta.agents.update(agent.id, enable_sleeptime=True, description="d")
    assert again.managed_group == on.managed_group
    off = letta.agents.update(agent.id, enable_sleeptime=False)
    assert (off.enable_sleeptime, off.managed_group) == (False, None)
    assert sorted(_tools(off)) == sorted(before)
    with pytest.raises(NotFoundError):
        letta.agents.retrieve(companion.id)
    assert letta.agents.blocks.retrieve("human", agent_id=agent.id).value == "Ada"


def test_companions_hold_what_their_managers_hold(letta: Letta) -> None:
    agent = letta.agents.create(memory_blocks=HUMAN, enable_sleeptime=True)
    block = letta.blocks.create(label="plans", value="none")
    letta.agents.blocks.attach(block.id, agent_id=agent.id)
    assert [b.label for b in _companion(letta, agent).blocks] == ["human", "plans"]
    letta.agents.blocks.detach(str(agent.blocks[0].id), agent_id=agent.id)
    assert [b.label for b in _companion(letta, agent).blocks] == ["plans"]
    letta.agents.update(agent.id, block_ids=[str(agent.blocks[0].id)])
    assert [b.label for b in _companion(letta, agent).blocks] == ["human"]


def test_whoever_is_deleted_takes_the_group_along(letta: Letta) -> None:
    first = letta.agents.create(memory_blocks=HUMAN, enable_sleeptime=True)
    companion = _companion(letta, first)
    letta.agents.delete(first.id)
    with pytest.raises(NotFoundError):
        letta.agents.retrieve(companion.id)
    second = letta.agents.create(memory_blocks=HUMAN, enable_sleeptime=True)
    letta.agents.delete(_companion(letta, second).id)
    alone = letta.agents.retrieve(second.id)
    assert (alone.enable_sleeptime, alone.managed_group) == (False, None)
    assert "memory_insert" in _tools(alone)
    assert _groups(letta) == []


def test_groups_are_listed_changed_and_deleted(letta: Letta) -> None:
    agents = [letta.agents.create(enable_sleeptime=True) for _ in range(3)]
    ids = [agent.managed_group.id for agent in agents if agent.managed_group is not None]
    assert [group["id"] for group in _groups(letta, order="asc")] == ids
    assert [group["id"] for group in _groups(letta, order="asc", limit=1, after=ids[0])] == ids[1:2]
    assert _groups(letta, manager_type="round_robin") == []
    path = f"/v1/groups/{ids[0]}"
    body = {"manager_config": {"manager_type": "sleeptime", "sleeptime_agent_frequency": 2}}
    changed: Any = letta.patch(path, cast_to=object, body=body)
    assert changed["sleeptime_agent_frequency"] == 2
    shown = letta.agents.retrieve(agents[0].id).managed_group
    assert shown is not None
    assert shown.sleeptime_agent_frequency == 2
    assert letta.get(path, cast_to=object) == changed
    letta.delete(path, cast_to=type(None))
    assert letta.agents.retrieve(agents[0].id).enable_sleeptime is False
    with pytest.raises(NotFoundError):
        letta.get(path, cast_to=object)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/groups/", 501),
        ("POST", "/v1/groups/group-00000000-0000-4000-8000-000000000000/messages", 501),
        ("PATCH", "/v1/groups/odd", 422),
        ("PATCH", "/v1/groups/group-00000000-0000-4000-8000-000000000000", 404),
    ],
)
def test_what_is_refused(letta: Letta, method: str, path: str, status: int) -> None:
    send = letta.post if method == "POST" else letta.patch
    with pytest.raises(APIStatusError) as refused:
        send(path, cast_to=object, body={})
    assert refused.value.status_code == status


def test_an_agent_of_the_type_alone_has_its_tools_and_prompt(letta: Letta) -> None:
    agent = letta.agents.create(agent_type="sleeptime_agent")
    assert "memory_finish_edits" in _tools(agent)
    assert "in the background" in agent.system
