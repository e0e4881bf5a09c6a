"""What a tool of an agent reaches that is run outside of turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from o_platform.agents.block_service import BlockService
from o_platform.agents.inputs import Author, NewAgent, NewBlock
from o_platform.agents.service import AgentService
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.engine import Database
from o_platform.db.line import Statement
from o_platform.testing.vault import vault_of_tests
from o_platform.tooling.agent_calls import AgentCalls
from o_sandbox.protocol import HostCallError

pytestmark = pytest.mark.integration
GRANTS = ["agent.read", "memory.read", "memory.write"]


class Cache:
    async def drop(self, agent_ids: Sequence[str]) -> None:
        """Nobody reads."""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, vault_of_tests())
    await database.ask(Statement("INSERT INTO lineages (name, key) VALUES ('default', 1)"))
    yield database
    await database.close()


async def test_what_was_changed_since_it_was_read_is_not_overwritten(database: Database) -> None:
    agents = AgentService(database, Cache(), ToolCatalogue([]))
    blocks = BlockService(database, Cache())
    block = await blocks.create(NewBlock("human", "Ada"))
    agent_id = (await agents.create(NewAgent("o/echo"))).agent.id
    view = await agents.attach_block(agent_id, block.id)
    calls = AgentCalls(view, "jot", blocks, Author("eve")).granted(GRANTS)
    assert (await calls["agent.read"]({}))["id"] == agent_id

    write = calls["memory.write"]
    assert await write({"label": "human", "value": "Ada, tea"}) == "Ada, tea"
    assert await write({"label": "human", "value": "Ada, tea, rain"}) == "Ada, tea, rain"
    await blocks.update(block.id, {"value": "Zoe"}, Author("zoe"))
    with pytest.raises(HostCallError, match="has changed since it was read"):
        await write({"label": "human", "value": "lost"})
    assert await calls["memory.read"]({"label": "human"}) == "Ada, tea, rain"
    assert (await blocks.fetch(block.id)).value == "Zoe"
    versions = await blocks.history(block.id)
    assert [(one.who, one.why) for one in versions[1:3]] == [
        ("eve", "memory.write of the tool jot"),
    ] * 2


async def test_only_what_is_granted_is_there(database: Database) -> None:
    agents = AgentService(database, Cache(), ToolCatalogue([]))
    view = await agents.create(NewAgent("o/echo"))
    calls = AgentCalls(view, "jot", BlockService(database, Cache()), Author("eve"))
    assert calls.granted(["o.sleep", "memory.read"]).keys() == {"memory.read"}
