"""Blocks, archival memory, archives, models and tags."""

from __future__ import annotations

import pytest
from letta_client import NotFoundError
from tests.contract.live.methods.registry import World, drives

FACT = "The capital of Iceland is Reykjavik."
OTHER = "Bananas are yellow fruit."


@drives("blocks.create")
def _(world: World) -> None:
    block = world.letta.blocks.create(label="notes", value="x", limit=100, tags=["b"])
    assert (block.label, block.value, block.limit) == ("notes", "x", 100)


@drives("blocks.retrieve")
def _(world: World) -> None:
    block = world.letta.blocks.create(label="notes", value="x")
    assert world.letta.blocks.retrieve(block.id).value == "x"


@drives("blocks.list")
def _(world: World) -> None:
    made = [world.letta.blocks.create(label="only-here", value=str(n)).id for n in range(3)]
    found = world.letta.blocks.list(label="only-here", limit=2, order="asc")
    assert [block.id for block in found] == made


@drives("blocks.update")
def _(world: World) -> None:
    block = world.letta.blocks.create(label="notes", value="x")
    assert world.letta.blocks.update(block.id, value="y").value == "y"


@drives("blocks.delete")
def _(world: World) -> None:
    block = world.letta.blocks.create(label="notes", value="x")
    world.letta.blocks.delete(block.id)
    with pytest.raises(NotFoundError):
        world.letta.blocks.retrieve(block.id)


@drives("blocks.agents.list", differs="what `include` names is always sent")
def _(world: World) -> None:
    block = world.letta.blocks.create(label="shared", value="x")
    agents = {world.agent(block_ids=[block.id]).id for _ in range(2)}
    assert {agent.id for agent in world.letta.blocks.agents.list(block.id)} == agents


@drives("agents.passages.create")
def _(world: World) -> None:
    (made,) = world.letta.agents.passages.create(world.agent().id, text=FACT, tags=["geo"])
    assert (made.text, made.tags) == (FACT, ["geo"])


@drives("agents.passages.list")
def _(world: World) -> None:
    agent = world.agent()
    for text in (FACT, OTHER):
        world.letta.agents.passages.create(agent.id, text=text)
    assert {one.text for one in world.letta.agents.passages.list(agent.id)} == {FACT, OTHER}


@drives("agents.passages.search")
def _(world: World) -> None:
    agent = world.agent()
    for text in (FACT, OTHER):
        world.letta.agents.passages.create(agent.id, text=text)
    found = world.letta.agents.passages.search(agent.id, query="capital of Iceland")
    assert found.results[0].content == FACT


@drives("agents.passages.delete")
def _(world: World) -> None:
    agent = world.agent()
    (made,) = world.letta.agents.passages.create(agent.id, text=FACT)
    world.letta.agents.passages.delete(str(made.id), agent_id=agent.id)
    assert list(world.letta.agents.passages.list(agent.id)) == []


@drives("passages.search")
def _(world: World) -> None:
    agent = world.agent()
    world.letta.agents.passages.create(agent.id, text=FACT)
    found = world.letta.passages.search(agent_id=agent.id, query="Iceland")
    assert [one.passage.text for one in found] == [FACT]


@drives("archives.create")
def _(world: World) -> None:
    made = world.letta.archives.create(name="facts", description="d")
    assert (made.name, made.description) == ("facts", "d")


@drives("archives.retrieve")
def _(world: World) -> None:
    made = world.letta.archives.create(name="facts")
    assert world.letta.archives.retrieve(made.id).id == made.id


@drives("archives.list")
def _(world: World) -> None:
    made = world.letta.archives.create(name="only-here")
    assert [one.id for one in world.letta.archives.list(name="only-here")] == [made.id]


@drives("archives.update")
def _(world: World) -> None:
    made = world.letta.archives.create(name="facts")
    assert world.letta.archives.update(made.id, name="new").name == "new"


@drives("archives.delete")
def _(world: World) -> None:
    made = world.letta.archives.create(name="facts")
    world.letta.archives.delete(made.id)
    with pytest.raises(NotFoundError):
        world.letta.archives.retrieve(made.id)


@drives("archives.passages.create")
def _(world: World) -> None:
    archive = world.letta.archives.create(name="facts")
    assert world.letta.archives.passages.create(archive.id, text=FACT).text == FACT


@drives("archives.passages.create_many")
def _(world: World) -> None:
    archive = world.letta.archives.create(name="facts")
    passages = [{"text": FACT}, {"text": OTHER, "tags": ["fruit"]}]
    made = world.letta.archives.passages.create_many(archive.id, passages=passages)  # type: ignore[arg-type]
    assert [one.text for one in made] == [FACT, OTHER]


@drives("archives.passages.delete")
def _(world: World) -> None:
    archive = world.letta.archives.create(name="facts")
    made = world.letta.archives.passages.create(archive.id, text=FACT)
    world.letta.archives.passages.delete(str(made.id), archive_id=archive.id)
    assert world.letta.passages.search(archive_id=archive.id, query="Iceland") == []


@drives("agents.archives.attach")
def _(world: World) -> None:
    agent, archive = world.agent(), world.letta.archives.create(name="facts")
    world.letta.archives.passages.create(archive.id, text=FACT)
    world.letta.agents.archives.attach(archive.id, agent_id=agent.id)
    found = world.letta.agents.passages.search(agent.id, query="Iceland")
    assert found.results[0].content == FACT


@drives("agents.archives.detach")
def _(world: World) -> None:
    agent, archive = world.agent(), world.letta.archives.create(name="facts")
    world.letta.agents.archives.attach(archive.id, agent_id=agent.id)
    world.letta.agents.archives.detach(archive.id, agent_id=agent.id)
    assert archive.id not in [one.id for one in world.letta.archives.list(agent_id=agent.id)]


@drives("models.list")
def _(world: World) -> None:
    assert {"o/echo", "o/scripted"} <= {model.handle for model in world.letta.models.list()}


@drives("models.embeddings.list")
def _(world: World) -> None:
    assert "o/hash" in {model.handle for model in world.letta.models.embeddings.list()}


@drives("tags.list")
def _(world: World) -> None:
    world.agent(tags=["tagged-once"])
    assert "tagged-once" in world.letta.tags.list()
