"""Agents that are kept encoded are shown as they are, whoever changed them in whichever process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import msgspec
import pytest
from letta_client import Letta

from o_platform.agents.agent_views import AgentView
from o_platform.agents.paging import Page
from o_platform.agents.repository import AgentFilter
from o_platform.agents.stamped_agents import StampedAgents
from o_platform.agents.tools import ToolCatalogue
from o_platform.api.agents.schemas import AgentState
from o_platform.api.agents.shown_agents import ShownAgents
from o_platform.db.engine import Database
from o_tools.catalogue import SPECS

pytestmark = pytest.mark.contract
SOURCE = (
    "def double(x: int) -> int:\n    '''Double.\n\n    Args:\n        x: n.\n    '''\n    return "
)
PAGE = Page(limit=10)


class Counted(StampedAgents):
    """Counts how often agents were as they are kept, and how many were read."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, ToolCatalogue(SPECS.values()))
        self.same = 0
        self.read = 0

    async def fetch_unless(self, agent_id: str, stamp: str) -> AgentView | None:
        view = await super().fetch_unless(agent_id, stamp)
        self.same += view is None
        self.read += view is not None
        return view

    async def fetch_all(self, agent_ids: Sequence[str]) -> Sequence[AgentView]:
        self.read += len(agent_ids)
        return await super().fetch_all(agent_ids)


@pytest.fixture
async def agents(database: Database) -> Counted:
    """Of another process than the API, as far as the database can tell."""
    return Counted(database)


def _changes(
    letta: Letta, http: httpx.Client, agent: str, block: str
) -> Iterator[Callable[[], Any]]:
    """One change after the other of what the agent shows."""
    path = f"/v1/agents/{agent}"
    yield lambda: letta.agents.update(agent, description="other", tags=["t"], metadata={"a": 1})
    yield lambda: letta.agents.update(agent, context_window_limit=9_000, secrets={"KEY": "v"})
    yield lambda: letta.blocks.update(block, value="edited")
    yield lambda: letta.blocks.update(block, label="renamed", description=None)
    yield lambda: http.post(f"/o/v1/blocks/{block}/undo", json={})
    yield lambda: letta.agents.blocks.update("renamed", agent_id=agent, limit=77)
    other = letta.blocks.create(label="other", value="x").id
    yield lambda: letta.agents.blocks.attach(other, agent_id=agent)
    yield lambda: letta.agents.blocks.detach(other, agent_id=agent)
    yield lambda: letta.agents.update(agent, block_ids=[block, other])
    yield lambda: letta.blocks.delete(other)
    said = {"id": "m", "role": "user", "content": "hello", "created_at": "2026-01-01T00:00:00Z"}
    yield lambda: http.post(f"/o/v1/takeover/agents/{agent}/messages", json={"messages": [said]})
    yield lambda: letta.agents.messages.reset(agent)
    base = letta.agents.retrieve(agent).tools or []
    yield lambda: letta.agents.tools.detach(base[0].id, agent_id=agent)
    approval = {"requires_approval": True}
    yield lambda: http.patch(f"{path}/tools/approval/{base[1].name}", json=approval)
    identity = {"identifier_key": "ada", "name": "Ada", "identity_type": "user"}
    ada = http.post("/v1/identities/", json=identity).json()["id"]
    yield lambda: http.patch(f"{path}/identities/attach/{ada}")
    yield lambda: http.patch(f"/v1/identities/{ada}", json={"name": "Countess"})
    yield lambda: http.delete(f"/v1/identities/{ada}")
    folder = letta.folders.create(name="notes", embedding="o/hash").id
    yield lambda: letta.agents.folders.attach(folder, agent_id=agent)
    yield lambda: letta.folders.update(folder, name="other notes")
    yield lambda: letta.folders.delete(folder)
    tool = letta.tools.create(source_code=SOURCE + "2 * x").id
    yield lambda: letta.agents.tools.attach(tool, agent_id=agent)
    yield lambda: letta.tools.update(tool, source_code=SOURCE + "x + x")
    yield lambda: letta.tools.delete(tool)
    yield lambda: http.patch(path, json={"enable_sleeptime": True})
    group = letta.agents.retrieve(agent).managed_group
    assert group is not None
    body = {"manager_config": {"manager_type": "sleeptime", "sleeptime_agent_frequency": 3}}
    yield lambda: http.patch(f"/v1/groups/{group.id}", json=body)
    yield lambda: http.patch(path, json={"enable_sleeptime": False})


async def test_every_change_is_shown_at_once(
    letta: Letta, http: httpx.Client, agents: Counted
) -> None:
    made = letta.agents.create(memory_blocks=[{"label": "human", "value": "Ada"}])
    agent, block = made.id, str(made.blocks[0].id)
    beside = letta.agents.create(block_ids=[block]).id
    kept = ShownAgents(agents)
    before = {one: await kept.one(one) for one in (agent, beside)}
    assert await kept.one(agent) == before[agent]
    for change in _changes(letta, http, agent, block):
        answer = change()
        assert not isinstance(answer, httpx.Response) or answer.is_success, answer.text
        fresh = ShownAgents(agents)
        shown = await kept.one(agent)
        assert shown == await fresh.one(agent) != before[agent]
        assert await kept.one(beside) == await fresh.one(beside)
        assert await kept.page(AgentFilter(), PAGE) == await fresh.page(AgentFilter(), PAGE)
        assert (await asyncio.to_thread(http.get, f"/v1/agents/{agent}")).content == shown
        before[agent] = shown
    letta.agents.delete(beside)
    assert beside.encode() not in await kept.page(AgentFilter(), PAGE)


async def test_what_has_not_changed_is_not_read_again(letta: Letta, agents: Counted) -> None:
    ids = [letta.agents.create().id for _ in range(3)]
    kept = ShownAgents(agents)
    first = await kept.page(AgentFilter(), PAGE)
    assert (agents.read, [one["id"] for one in msgspec.json.decode(first)]) == (3, ids[::-1])
    assert await kept.page(AgentFilter(), PAGE) == first
    assert msgspec.json.decode(await kept.one(ids[0]))["id"] == ids[0]
    assert (agents.read, agents.same) == (3, 1)
    letta.agents.update(ids[1], name="other")
    assert await kept.page(AgentFilter(), PAGE) != first
    assert agents.read == 4


async def test_no_more_is_kept_than_may_be(letta: Letta, agents: Counted) -> None:
    ids = [letta.agents.create(system="x" * 10_000).id for _ in range(4)]
    kept = ShownAgents(agents, kept_bytes=30_000)
    for _ in range(2):
        for one in ids:
            assert msgspec.json.decode(await kept.one(one))["id"] == one
    assert (agents.same, agents.read) == (0, 8)
    assert await kept.one(ids[-1])
    assert agents.same == 1


def test_an_agent_has_the_fields_of_its_schema(letta: Letta, http: httpx.Client) -> None:
    agent = letta.agents.create(memory_blocks=[{"label": "human", "value": "Ada"}]).id
    body = http.get(f"/v1/agents/{agent}").content
    shown = msgspec.json.decode(body)
    state = AgentState.model_validate_json(body)
    assert state.model_fields_set == set(AgentState.model_fields)
    assert state.model_dump(mode="json") == shown
