"""Tools of Letta: those it has built in, and those that take their agent as `agent_state`."""

from __future__ import annotations

import json

import pytest
from letta_client.types import AgentState, ToolReturnMessage
from tests.integration.turns.conftest import TurnPlatform

pytestmark = pytest.mark.integration
JOT = '''
def jot(agent_state: "AgentState", label: str, fact: str) -> str:
    """Add a fact to a memory block.

    Args:
        label: of the block
        fact: what to add
    """
    block = agent_state.memory.get_block(label)
    agent_state.memory.update_block_value(label=label, value=f"{block.value}, {fact}")
    return f"{agent_state.name} {agent_state.tags} {agent_state.metadata}: {block.value}"
'''


@pytest.fixture(scope="module")
def agent(platform: TurnPlatform) -> AgentState:
    tool = platform.letta.tools.create(source_code=JOT)
    return platform.letta.agents.create(
        name="Eve",
        model="o/scripted",
        tags=["guide"],
        metadata={"team": 7},
        tool_ids=[tool.id],
        memory_blocks=[
            {"label": "human", "value": "Ada", "limit": 30},
            {"label": "rules", "value": "none", "read_only": True},
        ],
    )


def _returned(platform: TurnPlatform, agent: AgentState, text: str) -> tuple[str, str]:
    turn = platform.letta.agents.messages.create(agent.id, input=text)
    (message,) = [one for one in turn.messages if isinstance(one, ToolReturnMessage)]
    return message.status, message.tool_return


def test_its_edits_are_those_of_the_turn(platform: TurnPlatform, agent: AgentState) -> None:
    said = "Eve ['guide'] {'team': 7}: Ada, tea"
    assert _returned(platform, agent, "jot human tea") == ("success", said)
    block = platform.letta.agents.blocks.retrieve("human", agent_id=agent.id)
    assert block.value == "Ada, tea"
    (made, former) = platform.control.get(f"/o/v1/blocks/{block.id}/history").json()
    assert (made["who"], made["why"]) == (agent.id, "memory.write")
    assert made["run_id"].startswith("run-")
    assert former["value"] == "Ada"
    shown = platform.letta.agents.messages.create(agent.id, input="show the prompt")
    assert "Ada, tea" in str(shown.messages[-1].content)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("jot rules x", "is read-only"),
        ("jot human xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "its limit is 30"),
        ("jot nobody x", "the blocks are: human, rules"),
    ],
)
def test_what_memory_does_not_take_is_an_error_of_the_tool(
    platform: TurnPlatform, agent: AgentState, text: str, says: str
) -> None:
    before = platform.letta.agents.blocks.retrieve("human", agent_id=agent.id).value
    status, said = _returned(platform, agent, text)
    assert (status, says in said) == ("error", True), said
    assert platform.letta.agents.blocks.retrieve("human", agent_id=agent.id).value == before


def test_it_sees_what_was_changed_of_the_agent(platform: TurnPlatform, agent: AgentState) -> None:
    platform.letta.agents.update(agent.id, tags=["cook"], name="Zoe")
    status, said = _returned(platform, agent, "jot human x")
    assert (status, said.startswith("Zoe ['cook']")) == ("success", True), said


def test_those_built_in_run_in_a_sandbox(platform: TurnPlatform) -> None:
    letta, names = platform.letta, ["web_search", "fetch_webpage", "run_code"]
    shown = letta.tools.list(names=names).items
    assert sorted(tool.name or "" for tool in shown) == sorted(names)
    assert {tool.tool_type for tool in shown} == {"letta_builtin"}
    agent = letta.agents.create(model="o/scripted", tools=names, include_base_tools=False)
    assert [tool.name for tool in agent.tools] == names
    status, text = _returned(platform, agent, "run print('hi'); 6 * 7")
    said = {"results": ["42"], "logs": {"stdout": "hi\n", "stderr": ""}, "error": None}
    assert (status, json.loads(text)) == ("success", said)
    ran = letta.agents.tools.run("run_code", agent_id=agent.id, args={"code": "6 * 7"})
    assert ran.func_return == said | {"logs": {"stdout": "", "stderr": ""}}
    page = letta.agents.tools.run(
        "fetch_webpage", agent_id=agent.id, args={"url": "http://127.0.0.1/"}
    )
    assert page.status == "error"
    assert "not a public address" in str(page.func_return)
