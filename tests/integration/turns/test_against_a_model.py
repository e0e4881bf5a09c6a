"""Agents, blocks, conversations and messages do what a model of a page of code says (hypothesis).

Whatever sequence of requests is sent, to the control plane and to instances, what is read then is
what the model holds: over the API, and in the prompt that the next turn is made with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from letta_client import APIStatusError
from tests.integration.turns.conftest import TurnPlatform

pytestmark = pytest.mark.integration

SEQUENCES: Final = 9
STEPS: Final = 25
TIGHT: Final = 30
"""A limit that notes soon come up to."""
ROOMY: Final = 100_000
"""What blocks have unless it is said."""
LABELS = st.sampled_from(["human", "persona", "notes"])
TEXTS = st.text("ab é漢😀'\"\\%{}$<\n", max_size=12)
SAYINGS = st.text("abz é漢😀'\"\\%{}<", min_size=1, max_size=12).filter(str.strip)
FACTS = st.text("klmno", min_size=3, max_size=8)


@dataclass
class BlockModel:
    label: str
    value: str
    limit: int = ROOMY
    read_only: bool = False

    def noted(self, fact: str) -> str | None:
        """Its text with a line more, unless that is refused."""
        value = f"{self.value}\n{fact}" if self.value else fact
        return None if self.read_only or len(value) > self.limit else value


@dataclass
class AgentModel:
    blocks: dict[str, str]
    """Ids by label, in the order in which it got them."""
    said: list[str] = field(default_factory=list)
    threads: dict[str, list[str]] = field(default_factory=dict)


class Requests(RuleBasedStateMachine):
    """Sends requests, and makes the model follow."""

    def __init__(self, platform: TurnPlatform) -> None:
        super().__init__()
        self.letta = platform.letta
        self.agents: dict[str, AgentModel] = {}
        self.blocks: dict[str, BlockModel] = {}

    @initialize(value=TEXTS)
    def two_agents_that_share_a_block(self, value: str) -> None:
        self.new_agent({"human": value})
        self.new_agent({})
        first, second = self.agents
        self._attach(second, self.agents[first].blocks["human"])

    @rule(values=st.dictionaries(LABELS, TEXTS, max_size=2))
    def new_agent(self, values: dict[str, str]) -> None:
        given = [{"label": label, "value": value} for label, value in values.items()]
        made = self.letta.agents.create(model="o/scripted", memory_blocks=given)
        held = {str(block.label): str(block.id) for block in made.memory.blocks}
        assert list(held) == list(values)
        self.agents[made.id] = AgentModel(held)
        for label, block_id in held.items():
            self.blocks[block_id] = BlockModel(label, values[label])

    @rule(label=LABELS, value=TEXTS, limit=st.sampled_from([TIGHT, ROOMY]))
    def new_block(self, label: str, value: str, limit: int) -> None:
        made = self.letta.blocks.create(label=label, value=value, limit=limit)
        self.blocks[str(made.id)] = BlockModel(label, value, limit)

    @rule(data=st.data())
    @precondition(lambda self: self.agents and self.blocks)
    def attach(self, data: st.DataObject) -> None:
        self._attach(self._agent(data), self._block(data))

    def _attach(self, agent_id: str, block_id: str) -> None:
        held, label = self.agents[agent_id].blocks, self.blocks[block_id].label
        with refused(409 if held.get(label, block_id) != block_id else 0):
            self.letta.agents.blocks.attach(block_id, agent_id=agent_id)
            held[label] = block_id

    @rule(data=st.data())
    @precondition(lambda self: self.agents and self.blocks)
    def detach(self, data: st.DataObject) -> None:
        agent_id, block_id = self._agent(data), self._block(data)
        held, label = self.agents[agent_id].blocks, self.blocks[block_id].label
        with refused(404 if held.get(label) != block_id else 0):
            self.letta.agents.blocks.detach(block_id, agent_id=agent_id)
            del held[label]

    @rule(data=st.data(), value=TEXTS, read_only=st.booleans())
    @precondition(lambda self: self.blocks)
    def change_block(self, data: st.DataObject, value: str, read_only: bool) -> None:
        block_id = self._block(data)
        self.letta.blocks.update(block_id, value=value, read_only=read_only)
        self.blocks[block_id].value, self.blocks[block_id].read_only = value, read_only

    @rule(data=st.data(), value=TEXTS)
    @precondition(lambda self: any(agent.blocks for agent in self.agents.values()))
    def change_block_of_an_agent(self, data: st.DataObject, value: str) -> None:
        agent_id = self._agent(data)
        label = data.draw(LABELS)
        block_id = self.agents[agent_id].blocks.get(label)
        with refused(404 if block_id is None else 0):
            self.letta.agents.blocks.update(label, agent_id=agent_id, value=value)
            self.blocks[str(block_id)].value = value

    @rule(data=st.data(), label=LABELS)
    @precondition(lambda self: self.blocks)
    def rename_block(self, data: st.DataObject, label: str) -> None:
        block_id = self._block(data)
        holders = self._holders(block_id)
        taken = any(agent.blocks.get(label, block_id) != block_id for agent in holders)
        with refused(409 if taken else 0):
            self.letta.blocks.update(block_id, label=label)
            for agent in holders:
                agent.blocks = {
                    label if held == block_id else other: held
                    for other, held in agent.blocks.items()
                }
            self.blocks[block_id].label = label

    @rule(data=st.data())
    @precondition(lambda self: len(self.blocks) > 2)
    def delete_block(self, data: st.DataObject) -> None:
        block_id = self._block(data)
        self.letta.blocks.delete(block_id)
        label = self.blocks.pop(block_id).label
        for agent in self.agents.values():
            if agent.blocks.get(label) == block_id:
                del agent.blocks[label]
        with refused(404):
            self.letta.blocks.retrieve(block_id)

    @rule(data=st.data())
    @precondition(lambda self: len(self.agents) > 2)
    def delete_agent(self, data: st.DataObject) -> None:
        agent_id = self._agent(data)
        self.letta.agents.delete(agent_id)
        threads = self.agents.pop(agent_id).threads
        with refused(404):
            self.letta.agents.messages.create(agent_id, input="anybody there?")
        for thread_id in threads:
            with refused(404):
                self.letta.conversations.retrieve(thread_id)

    @rule(data=st.data())
    @precondition(lambda self: self.agents)
    def new_conversation(self, data: st.DataObject) -> None:
        agent_id = self._agent(data)
        self.agents[agent_id].threads[self.letta.conversations.create(agent_id=agent_id).id] = []

    @rule(data=st.data(), text=SAYINGS)
    @precondition(lambda self: self.agents)
    def say(self, data: st.DataObject, text: str) -> None:
        answer = self._turn(self._agent(data), data, text)
        assert [m.content for m in answer] == [f"scripted: {text}"]

    @rule(data=st.data(), fact=FACTS)
    @precondition(lambda self: self.agents)
    def note(self, data: st.DataObject, fact: str) -> None:
        """The model has its tool add a line to the block `human`."""
        agent_id = self._agent(data)
        block_id = self.agents[agent_id].blocks.get("human")
        value = self.blocks[block_id].noted(fact) if block_id is not None else None
        answer = self._turn(agent_id, data, f"insert {fact}")
        (returned,) = (m for m in answer if m.message_type == "tool_return_message")
        assert returned.status == ("error" if value is None else "success"), returned
        if block_id is not None and value is not None:
            self.blocks[block_id].value = value

    @rule(data=st.data())
    @precondition(lambda self: self.agents)
    def look_at_the_prompt(self, data: st.DataObject) -> None:
        agent_id = self._agent(data)
        (shown,) = self._turn(agent_id, data, "show the prompt")
        held = self.agents[agent_id].blocks
        assert shown.content.count("<block label=") == len(held)
        for label, block_id in held.items():
            block = self.blocks[block_id]
            size = f'characters="{len(block.value)}" limit="{block.limit}"'
            assert f'<block label="{label}" {size}' in shown.content
            assert f"<value>\n{block.value}\n</value>" in shown.content

    @rule(data=st.data())
    @precondition(lambda self: self.agents)
    def forget(self, data: st.DataObject) -> None:
        agent_id = self._agent(data)
        self.letta.agents.messages.reset(agent_id)
        self.agents[agent_id].said = []

    @rule(data=st.data(), limit=st.integers(1, 4))
    @precondition(lambda self: self.agents)
    def read_by_pages(self, data: st.DataObject, limit: int) -> None:
        agent_id = self._agent(data)
        order = data.draw(st.sampled_from(["asc", "desc"]))
        said: list[str] = []
        after: str | None = None
        while True:
            page = self.letta.agents.messages.list(
                agent_id, order=order, limit=limit, after=after
            ).items
            said += map(_told, page)
            if len(page) < limit:
                break
            after = page[-1].id
        assert said == self.agents[agent_id].said[:: 1 if order == "asc" else -1]

    def teardown(self) -> None:
        for block_id, block in self.blocks.items():
            found = self.letta.blocks.retrieve(block_id)
            shown = (found.label, found.value, found.limit, found.read_only)
            assert shown == (block.label, block.value, block.limit, block.read_only)
            holders = self.letta.blocks.agents.list(block_id, limit=100).items
            held = {id_ for id_, agent in self.agents.items() if block_id in agent.blocks.values()}
            assert {agent.id for agent in holders} == held
        for agent_id, agent in self.agents.items():
            of_agent = self.letta.agents.retrieve(agent_id).memory.blocks
            assert {str(b.label): b.id for b in of_agent} == agent.blocks
            listed = self.letta.agents.messages.list(agent_id, order="asc", limit=1000).items
            assert [_told(m) for m in listed] == agent.said
            threads = self.letta.conversations.list(agent_id=agent_id, limit=100)
            assert {thread.id for thread in threads} == set(agent.threads)
            for thread_id, said in agent.threads.items():
                of_thread = self.letta.conversations.messages.list(thread_id, order="asc").items
                assert [_told(m) for m in of_thread] == said

    def _turn(self, agent_id: str, data: st.DataObject, text: str) -> list[Any]:
        """Say something in one of the agent's threads; what is answered."""
        agent = self.agents[agent_id]
        thread_id = data.draw(st.sampled_from(["default", *agent.threads]))
        answer: list[Any]
        if thread_id == "default":
            answer = self.letta.agents.messages.create(agent_id, input=text).messages
            said = agent.said
        else:
            stream = self.letta.conversations.messages.create(thread_id, input=text)
            events = {"ping", "stop_reason", "usage_statistics"}
            answer = [m for m in stream if m.message_type not in events]
            said = agent.threads[thread_id]
        said += [text, *(m.id for m in answer)]
        return answer

    def _agent(self, data: st.DataObject) -> str:
        return list(self.agents)[data.draw(st.integers(0, len(self.agents) - 1))]

    def _block(self, data: st.DataObject) -> str:
        return list(self.blocks)[data.draw(st.integers(0, len(self.blocks) - 1))]

    def _holders(self, block_id: str) -> list[AgentModel]:
        return [agent for agent in self.agents.values() if block_id in agent.blocks.values()]


def _told(message: Any) -> str:
    """A user's text, or another message's id."""
    return str(message.content if message.message_type == "user_message" else message.id)


@contextmanager
def refused(status: int) -> Iterator[None]:
    """What is in it is refused with this status at its first request; 0: it is not."""
    if not status:
        yield
        return
    with pytest.raises(APIStatusError) as raised:
        yield
    assert raised.value.status_code == status


def test_any_sequence_of_requests_does_what_the_model_says(platform: TurnPlatform) -> None:
    run_state_machine_as_test(
        lambda: Requests(platform),
        settings=settings(
            max_examples=SEQUENCES, stateful_step_count=STEPS, database=None, derandomize=True,
            deadline=None, phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
