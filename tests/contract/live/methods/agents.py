"""Agents, their blocks, messages and identities."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from letta_client import NotFoundError
from tests.contract.live.methods.registry import World, drives

HUMAN = [{"label": "human", "value": "Ada"}]


@drives("health")
def _(world: World) -> None:
    assert world.letta.health().status == "ok"


@drives(
    "agents.create",
    differs="secrets reach tools by `o.secrets.use`, not by their environment; no templates",
)
def _(world: World) -> None:
    agent = world.agent(name="eva", memory_blocks=HUMAN, tags=["a"], metadata={"k": 1})
    assert (agent.name, agent.tags, agent.metadata) == ("eva", ["a"], {"k": 1})
    assert [block.value for block in agent.blocks] == ["Ada"]
    asleep = world.agent(enable_sleeptime=True, memory_blocks=HUMAN)
    assert asleep.managed_group is not None
    (companion,) = asleep.managed_group.agent_ids
    for _ in range(4):
        world.run(asleep.id)
    run_ids = world.letta.agents.messages.create(asleep.id, input="fifth").usage.run_ids
    assert run_ids is not None
    _wait_completed(world, run_ids[1])
    handed = next(iter(world.letta.agents.messages.list(companion, order="asc")))
    assert "[user] fifth" in str(handed.content)  # type: ignore[union-attr]


@drives("agents.retrieve", differs="what `include` names is always sent")
def _(world: World) -> None:
    agent = world.agent()
    assert world.letta.agents.retrieve(agent.id).id == agent.id


@drives("agents.list", differs="what `include` names is always sent")
def _(world: World) -> None:
    agents = [world.agent(tags=["listed"]).id for _ in range(3)]
    found = world.letta.agents.list(tags=["listed"], limit=2, order="asc")
    assert [agent.id for agent in found] == agents


@drives("agents.update")
def _(world: World) -> None:
    agent = world.agent()
    changed = world.letta.agents.update(agent.id, name="new", description="d", tags=["t"])
    assert (changed.name, changed.description, changed.tags) == ("new", "d", ["t"])
    asleep = world.letta.agents.update(agent.id, enable_sleeptime=True)
    assert asleep.managed_group is not None
    assert world.letta.agents.update(agent.id, enable_sleeptime=False).managed_group is None


@drives("agents.delete")
def _(world: World) -> None:
    agent = world.agent()
    world.letta.agents.delete(agent.id)
    with pytest.raises(NotFoundError):
        world.letta.agents.retrieve(agent.id)


@drives("agents.recompile")
def _(world: World) -> None:
    agent = world.agent(memory_blocks=HUMAN)
    assert "Ada" in world.letta.agents.recompile(agent.id)


@drives("agents.export_file", differs="the older form of agent files is read, not written (501)")
def _(world: World) -> None:
    agent = world.agent(name="exported", memory_blocks=HUMAN)
    world.run(agent.id)
    file = world.letta.agents.export_file(agent.id)
    data = json.loads(file) if isinstance(file, str) else file
    assert data["agents"][0]["name"] == "exported"
    assert data["blocks"][0]["value"] == "Ada"


@drives("agents.import_file")
def _(world: World) -> None:
    agent = world.agent(name="moved", memory_blocks=HUMAN)
    world.run(agent.id, "remember me")
    file = world.letta.agents.export_file(agent.id)
    text = file if isinstance(file, str) else json.dumps(file)
    (made,) = world.letta.agents.import_file(file=("moved.af", text.encode())).agent_ids
    copy = world.letta.agents.retrieve(made)
    assert copy.id != agent.id
    assert [block.value for block in copy.blocks] == ["Ada"]
    said = [getattr(m, "content", None) for m in world.letta.agents.messages.list(made)]
    assert "remember me" in said
    world.run(made, "and go on")


@drives("agents.messages.create", differs="log probabilities and token ids are refused (501)")
def _(world: World) -> None:
    turn = world.letta.agents.messages.create(world.agent().id, input="hello")
    assert turn.messages[-1].content == "echo: hello"  # type: ignore[union-attr]
    assert turn.stop_reason.stop_reason == "end_turn"


@drives("agents.messages.stream", differs="log probabilities and token ids are refused (501)")
def _(world: World) -> None:
    agent = world.agent()
    with pytest.deprecated_call():
        opened = world.letta.agents.messages.stream(agent.id, input="one two", stream_tokens=True)
    with opened as stream:
        events = list(stream)
    texts = [e.content for e in events if e.message_type == "assistant_message"]
    assert "".join(str(text) for text in texts) == "echo: one two"
    assert events[-1].message_type == "usage_statistics"


@drives("agents.messages.create_async")
def _(world: World) -> None:
    agent = world.agent()
    run = world.letta.agents.messages.create_async(agent.id, input="later")
    assert run.agent_id == agent.id
    _wait_completed(world, run.id)
    said = [m.content for m in _assistant(world, agent.id)]
    assert said == ["echo: later"]


@drives("agents.messages.cancel")
def _(world: World) -> None:
    agent = world.agent()
    run = world.letta.agents.messages.create_async(agent.id, input="later")
    world.letta.agents.messages.cancel(agent.id, run_ids=[run.id])
    _wait_over(world, run.id)


@drives(
    "agents.messages.list",
    differs="the compiled system prompt is not among them; `…/context` shows it",
)
def _(world: World) -> None:
    agent = world.agent()
    for text in ("one", "two", "three"):
        world.run(agent.id, text)
    pages = world.letta.agents.messages.list(agent.id, limit=2, order="asc")
    ids = [message.id for message in pages]
    assert len(ids) == len(set(ids)) == 6


@drives("agents.messages.reset")
def _(world: World) -> None:
    agent = world.agent()
    world.run(agent.id)
    world.letta.agents.messages.reset(agent.id)
    assert _assistant(world, agent.id) == []


@drives("agents.messages.compact")
def _(world: World) -> None:
    agent = world.agent()
    for number in range(6):
        world.run(agent.id, f"number {number} " + "words " * 50)
    done = world.letta.agents.messages.compact(agent.id)
    assert done.num_messages_after < done.num_messages_before
    assert done.summary


@drives("agents.blocks.attach")
def _(world: World) -> None:
    agent = world.agent()
    block = world.letta.blocks.create(label="notes", value="x")
    changed = world.letta.agents.blocks.attach(block.id, agent_id=agent.id)
    assert "notes" in [one.label for one in changed.blocks]


@drives("agents.blocks.detach")
def _(world: World) -> None:
    agent = world.agent(memory_blocks=HUMAN)
    block_id = str(agent.blocks[0].id)
    assert world.letta.agents.blocks.detach(block_id, agent_id=agent.id).blocks == []


@drives("agents.blocks.list")
def _(world: World) -> None:
    agent = world.agent(memory_blocks=HUMAN)
    assert [block.label for block in world.letta.agents.blocks.list(agent.id)] == ["human"]


@drives("agents.blocks.retrieve")
def _(world: World) -> None:
    agent = world.agent(memory_blocks=HUMAN)
    assert world.letta.agents.blocks.retrieve("human", agent_id=agent.id).value == "Ada"


@drives("agents.blocks.update")
def _(world: World) -> None:
    agent = world.agent(memory_blocks=HUMAN)
    changed = world.letta.agents.blocks.update("human", agent_id=agent.id, value="Bob")
    assert changed.value == "Bob"


@drives("agents.identities.attach")
def _(world: World) -> None:
    agent, identity = world.agent(), _identity(world, "attached")
    world.letta.agents.identities.attach(identity, agent_id=agent.id)
    found = world.letta.agents.retrieve(agent.id, include=["agent.identities"])
    assert [one.id for one in found.identities or []] == [identity]


@drives("agents.identities.detach")
def _(world: World) -> None:
    identity = _identity(world, "detached")
    agent = world.agent(identity_ids=[identity])
    world.letta.agents.identities.detach(identity, agent_id=agent.id)
    assert world.letta.agents.retrieve(agent.id).identities == []


@drives("agents.schedule.create", differs="no callbacks; runs by the cron expression in UTC")
def _(world: World) -> None:
    assert _schedule(world, world.agent().id)


@drives("agents.schedule.retrieve")
def _(world: World) -> None:
    agent = world.agent()
    made = _schedule(world, agent.id)
    assert world.letta.agents.schedule.retrieve(made, agent_id=agent.id).agent_id == agent.id


@drives("agents.schedule.list")
def _(world: World) -> None:
    agent = world.agent()
    made = _schedule(world, agent.id)
    found = world.letta.agents.schedule.list(agent.id)
    assert [one.id for one in found.scheduled_messages] == [made]


@drives("agents.schedule.delete")
def _(world: World) -> None:
    agent = world.agent()
    made = _schedule(world, agent.id)
    assert world.letta.agents.schedule.delete(made, agent_id=agent.id).success


def _schedule(world: World, agent_id: str) -> str:
    made = world.letta.agents.schedule.create(
        agent_id,
        messages=[{"role": "user", "content": "happy new year"}],
        schedule={"type": "recurring", "cron_expression": "0 0 1 1 *"},
    )
    return made.id


def _identity(world: World, key: str) -> str:
    answer = httpx.post(
        f"{world.live.url}/v1/identities/",
        json={"identifier_key": key, "name": key, "identity_type": "user"},
        headers={"Authorization": f"Bearer {world.live.key}"},
    )
    return str(answer.json()["id"])


def _assistant(world: World, agent_id: str) -> list:  # type: ignore[type-arg]
    found = world.letta.agents.messages.list(agent_id)
    return [message for message in found if message.message_type == "assistant_message"]


def _wait_over(world: World, run_id: str) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        status = world.letta.runs.retrieve(run_id).status
        if status in {"completed", "failed", "cancelled"}:
            return status
    raise AssertionError(f"{run_id} is not over")


def _wait_completed(world: World, run_id: str) -> None:
    assert _wait_over(world, run_id) == "completed"
