"""Blocks over the real SDK: on their own, attached, shared, edited at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import letta_client
import pytest
from letta_client import Letta

from o_contracts.ids import new_id

pytestmark = pytest.mark.contract


def test_life_of_a_block(letta: Letta) -> None:
    created = letta.blocks.create(
        label="notes", value="v", description="d", metadata={"a": 1}, tags=["t"], read_only=True
    )
    assert letta.blocks.retrieve(created.id) == created
    assert created.limit == 100_000
    changed = letta.blocks.update(
        created.id, value="w" * 40, limit=10, label="other", tags=[], read_only=False
    )
    assert (changed.value, changed.limit, changed.label) == ("w" * 40, 10, "other")
    assert (changed.tags, changed.read_only, changed.description) == ([], False, "d")
    assert letta.blocks.update(created.id, description=None).description is None
    letta.blocks.delete(created.id)
    with pytest.raises(letta_client.NotFoundError):
        letta.blocks.retrieve(created.id)


def test_blocks_of_an_agent(letta: Letta) -> None:
    agent = letta.agents.create(
        memory_blocks=[{"label": "human", "value": "Bob"}, {"label": "persona", "value": "bot"}]
    )
    human = letta.agents.blocks.retrieve("human", agent_id=agent.id)
    assert human.value == "Bob"
    assert human.description
    assert letta.agents.blocks.update("human", agent_id=agent.id, value="Al").value == "Al"
    listed = letta.agents.blocks.list(agent.id, order="asc")
    assert {block.label for block in listed} == {"human", "persona"}
    with pytest.raises(letta_client.NotFoundError, match="holds no block labelled 'x'"):
        letta.agents.blocks.retrieve("x", agent_id=agent.id)


def test_labels_may_contain_slashes(letta: Letta) -> None:
    agent = letta.agents.create(memory_blocks=[{"label": "docs/a b.md", "value": "1"}])
    updated = letta.agents.blocks.update("docs/a b.md", agent_id=agent.id, value="2")
    assert updated.value == "2"
    assert letta.agents.blocks.retrieve("docs/a b.md", agent_id=agent.id).value == "2"


def test_history_and_undo(letta: Letta, http: httpx.Client) -> None:
    block = letta.blocks.create(label="notes", value="one")
    history, undo = f"/o/v1/blocks/{block.id}/history", f"/o/v1/blocks/{block.id}/undo"
    assert http.get(history).json() == []
    refused = http.post(undo, json={})
    assert (refused.status_code, "no earlier text" in refused.json()["detail"]) == (409, True)
    letta.blocks.update(block.id, value="two", extra_headers={"X-O-Reason": "it grew"})
    letta.blocks.update(block.id, description="only a description")
    letta.blocks.update(block.id, value="three")
    versions = http.get(history).json()
    assert [(v["version"], v["value"], v["who"], v["why"]) for v in versions] == [
        (4, "three", "operator", "changed over the API: value"),
        (3, "two", "operator", "changed over the API: description"),
        (2, "two", "operator", "it grew"),
        (1, "one", "", ""),
    ]
    assert [v["version"] for v in http.get(history, params={"before": 3}).json()] == [2, 1]
    assert http.post(undo, json={}).json()["value"] == "two"
    letta.blocks.update(block.id, description="another")
    assert http.post(undo, json={}).json()["value"] == "one"
    assert http.post(undo, json={}).status_code == 409
    assert http.post(undo, json={"version": 4}).json()["value"] == "three"
    assert http.post(undo, json={"version": 99}).status_code == 404
    newest = http.get(history, params={"limit": 1}).json()[0]
    assert (newest["version"], newest["restores"]) == (8, 4)
    assert newest["why"] == "undo: back to version 4"
    assert letta.blocks.retrieve(block.id).value == "three"


def test_sharing(letta: Letta) -> None:
    block = letta.blocks.create(label="shared", value="1")
    first, second = letta.agents.create(block_ids=[block.id]), letta.agents.create()
    letta.agents.blocks.attach(block.id, agent_id=second.id)
    letta.agents.blocks.attach(block.id, agent_id=second.id)
    letta.agents.blocks.update("shared", agent_id=first.id, value="2")
    assert letta.agents.blocks.retrieve("shared", agent_id=second.id).value == "2"
    holders = letta.blocks.agents.list(block.id, order="asc")
    assert [agent.id for agent in holders] == [first.id, second.id]
    assert [b.id for b in letta.blocks.list(connected_to_agents_count_gt=1)] == [block.id]
    letta.agents.blocks.detach(block.id, agent_id=second.id)
    with pytest.raises(letta_client.NotFoundError, match="does not hold"):
        letta.agents.blocks.detach(block.id, agent_id=second.id)
    letta.blocks.delete(block.id)
    assert letta.agents.retrieve(first.id).blocks == []


def test_one_block_a_label(letta: Letta) -> None:
    agent = letta.agents.create(memory_blocks=[{"label": "human", "value": "Bob"}])
    rival = letta.blocks.create(label="human", value="Al")
    with pytest.raises(letta_client.ConflictError, match="already holds a block labelled"):
        letta.agents.blocks.attach(rival.id, agent_id=agent.id)
    other = letta.blocks.create(label="other", value="")
    letta.agents.blocks.attach(other.id, agent_id=agent.id)
    with pytest.raises(letta_client.ConflictError):
        letta.blocks.update(other.id, label="human")
    with pytest.raises(letta_client.ConflictError):
        letta.agents.create(
            memory_blocks=[{"label": "a", "value": "1"}, {"label": "a", "value": "2"}]
        )
    assert len(letta.agents.list().items) == 1


def test_replacing_the_blocks_of_an_agent(letta: Letta) -> None:
    agent = letta.agents.create(memory_blocks=[{"label": "human", "value": "Bob"}])
    replacement = letta.blocks.create(label="human", value="Al")
    changed = letta.agents.update(agent.id, block_ids=[replacement.id])
    assert [block.id for block in changed.blocks] == [replacement.id]
    with pytest.raises(letta_client.NotFoundError):
        letta.agents.update(agent.id, block_ids=[new_id("block")])
    assert letta.agents.retrieve(agent.id).blocks == changed.blocks


def test_renaming_a_held_block(letta: Letta) -> None:
    agent = letta.agents.create(memory_blocks=[{"label": "old", "value": "1"}])
    letta.agents.blocks.update("old", agent_id=agent.id, label="new")
    assert letta.agents.blocks.retrieve("new", agent_id=agent.id).value == "1"


def test_listing(letta: Letta) -> None:
    made = [letta.blocks.create(label=f"l{n}", value=f"value {n}", tags=["t"]) for n in range(5)]
    assert [block.id for block in letta.blocks.list(limit=2, order="asc")] == [b.id for b in made]
    assert [block.id for block in letta.blocks.list(label="l3")] == [made[3].id]
    assert [block.id for block in letta.blocks.list(value_search="UE 4")] == [made[4].id]
    assert letta.blocks.list(templates_only=True).items == []


def test_edits_at_the_same_time(letta: Letta, http: httpx.Client) -> None:
    blocks = [letta.blocks.create(label=f"b{n}", value="") for n in range(3)]
    ids = [block.id for block in blocks]
    agents = [letta.agents.create(block_ids=ids).id for _ in range(4)]

    def edit(number: int) -> int:
        block, agent = ids[number % 3], agents[number % 4]
        match number % 5:
            case 0:
                path, body = f"/v1/blocks/{block}", {"value": str(number)}
            case 1:
                path = f"/v1/agents/{agent}/core-memory/blocks/b{number % 3}"
                body = {"value": str(number)}
            case 2:
                path, body = f"/v1/agents/{agent}", {"name": str(number)}
            case 3:
                path, body = f"/v1/agents/{agent}", {"block_ids": ids[number % 2 :]}
            case _:
                path, body = f"/v1/agents/{agent}/core-memory/blocks/attach/{block}", {}
        return http.patch(path, json=body).status_code

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(edit, range(150)))
    # A block may be detached (404) when its label is edited; nothing else may go wrong.
    assert set(answers) <= {200, 404}
    assert answers.count(200) > 100
