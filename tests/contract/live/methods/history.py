"""Runs, steps, messages across agents, conversations."""

from __future__ import annotations

import pytest
from letta_client import NotFoundError
from tests.contract.live.methods.registry import World, drives


@drives("runs.list")
def _(world: World) -> None:
    agent = world.agent()
    runs = [world.run(agent.id) for _ in range(3)]
    found = [run.id for run in world.letta.runs.list(agent_id=agent.id, limit=2, order="asc")]
    assert found == runs


@drives("runs.retrieve")
def _(world: World) -> None:
    run = world.run(world.agent().id)
    assert world.letta.runs.retrieve(run).status == "completed"


@drives("runs.messages.list")
def _(world: World) -> None:
    run = world.run(world.agent().id)
    kinds = [m.message_type for m in world.letta.runs.messages.list(run, order="asc")]
    assert kinds == ["user_message", "assistant_message"]


@drives("runs.messages.stream")
def _(world: World) -> None:
    agent = world.agent()
    with world.letta.agents.messages.create(
        agent.id, input="one two", streaming=True, background=True, stream_tokens=True
    ) as stream:
        first = [event for event in stream if getattr(event, "run_id", None)]
    run = str(first[0].run_id)  # type: ignore[union-attr]
    with world.letta.runs.messages.stream(run, starting_after=0) as again:
        events = list(again)
    texts = [str(e.content) for e in events if e.message_type == "assistant_message"]
    assert "".join(texts) == "echo: one two"


@drives("runs.steps.list")
def _(world: World) -> None:
    run = world.run(world.agent().id)
    assert [step.run_id for step in world.letta.runs.steps.list(run)] == [run]


@drives("runs.usage.retrieve")
def _(world: World) -> None:
    run = world.run(world.agent().id)
    assert (world.letta.runs.usage.retrieve(run).total_tokens or 0) > 0


@drives("runs.trace.retrieve")
def _(world: World) -> None:
    run = world.run(world.agent().id)
    assert world.letta.runs.trace.retrieve(run)


@drives("steps.list")
def _(world: World) -> None:
    agent = world.agent()
    runs = {world.run(agent.id) for _ in range(2)}
    assert {step.run_id for step in world.letta.steps.list(agent_id=agent.id)} == runs


@drives("steps.retrieve")
def _(world: World) -> None:
    step = _step(world)
    assert world.letta.steps.retrieve(step).id == step


@drives("steps.metrics.retrieve")
def _(world: World) -> None:
    step = _step(world)
    assert world.letta.steps.metrics.retrieve(step).id == step


@drives("steps.messages.list")
def _(world: World) -> None:
    found = world.letta.steps.messages.list(_step(world))
    assert "assistant_message" in [message.message_type for message in found]


@drives(
    "steps.trace.retrieve",
    differs="put together from the history unless `O_TRACE_DAYS` keeps what was sent",
)
def _(world: World) -> None:
    step = _step(world)
    trace = world.letta.steps.trace.retrieve(step)
    assert trace is not None
    assert (trace.step_id, trace.source) == (step, "history")


@drives("steps.feedback.create")
def _(world: World) -> None:
    step = _step(world)
    changed = world.letta.steps.feedback.create(step, feedback="positive", tags=["t"])
    assert changed.feedback == "positive"


@drives("messages.list")
def _(world: World) -> None:
    agents = [world.agent().id for _ in range(2)]
    for agent in agents:
        world.run(agent)
    assert len(list(zip(world.letta.messages.list(limit=4), range(4), strict=False))) == 4


@drives("messages.retrieve")
def _(world: World) -> None:
    agent = world.agent()
    world.run(agent.id)
    first = next(iter(world.letta.agents.messages.list(agent.id)))
    (found,) = world.letta.messages.retrieve(first.id)
    assert found.id == first.id


@drives("messages.search")
def _(world: World) -> None:
    agent = world.agent()
    world.run(agent.id, "the zebra crosses the road")
    found = world.letta.messages.search(query="zebra", agent_id=agent.id, search_mode="fts")
    assert any("zebra" in str(one) for one in found)


@drives("conversations.create")
def _(world: World) -> None:
    agent = world.agent()
    made = world.letta.conversations.create(agent_id=agent.id, summary="s")
    assert (made.agent_id, made.summary) == (agent.id, "s")


@drives("conversations.retrieve")
def _(world: World) -> None:
    made = _conversation(world)
    assert world.letta.conversations.retrieve(made).id == made


@drives("conversations.list")
def _(world: World) -> None:
    agent = world.agent()
    made = [world.letta.conversations.create(agent_id=agent.id).id for _ in range(2)]
    found = world.letta.conversations.list(agent_id=agent.id, order="asc")
    assert [one.id for one in found] == made


@drives("conversations.update")
def _(world: World) -> None:
    made = _conversation(world)
    assert world.letta.conversations.update(made, summary="new").summary == "new"


@drives("conversations.delete")
def _(world: World) -> None:
    made = _conversation(world)
    world.letta.conversations.delete(made)
    with pytest.raises(NotFoundError):
        world.letta.conversations.retrieve(made)


@drives(
    "conversations.messages.create", differs="log probabilities and token ids are refused (501)"
)
def _(world: World) -> None:
    made = _conversation(world)
    assert _say(world, made, "hello") == "echo: hello"


@drives(
    "conversations.messages.list",
    differs="the compiled system prompt is not among them; `…/context` shows it",
)
def _(world: World) -> None:
    agent = world.agent()
    one, two = (world.letta.conversations.create(agent_id=agent.id).id for _ in range(2))
    _say(world, one, "first")
    _say(world, two, "second")
    found = world.letta.conversations.messages.list(one, order="asc")
    texts = [getattr(message, "content", None) for message in found]
    assert texts == ["first", "echo: first"]


@drives("conversations.messages.stream")
def _(world: World) -> None:
    made = _conversation(world)
    with world.letta.conversations.messages.create(
        made, input="one two", background=True
    ) as stream:
        list(stream)
    with world.letta.conversations.messages.stream(made, starting_after=0) as again:
        kinds = [event.message_type for event in again]
    assert "assistant_message" in kinds


@drives("conversations.messages.compact")
def _(world: World) -> None:
    made = _conversation(world)
    for number in range(6):
        _say(world, made, f"number {number} " + "words " * 50)
    done = world.letta.conversations.messages.compact(made)
    assert done.num_messages_after < done.num_messages_before


@drives("conversations.fork")
def _(world: World) -> None:
    made = _conversation(world)
    _say(world, made, "shared")
    fork = world.letta.conversations.fork(made)
    assert fork.id != made
    _say(world, fork.id, "alone")
    assert len(list(world.letta.conversations.messages.list(made))) == 2
    assert len(list(world.letta.conversations.messages.list(fork.id))) == 4


@drives("conversations.cancel")
def _(world: World) -> None:
    made = _conversation(world)
    _say(world, made, "hello")
    assert world.letta.conversations.cancel(made) is not None


@drives("conversations.recompile")
def _(world: World) -> None:
    assert world.letta.conversations.recompile(_conversation(world))


def _conversation(world: World) -> str:
    return world.letta.conversations.create(agent_id=world.agent().id).id


def _say(world: World, conversation_id: str, text: str) -> str:
    with world.letta.conversations.messages.create(conversation_id, input=text) as stream:
        events = list(stream)
    return "".join(str(e.content) for e in events if e.message_type == "assistant_message")


def _step(world: World) -> str:
    run = world.run(world.agent().id)
    return next(iter(world.letta.runs.steps.list(run))).id
