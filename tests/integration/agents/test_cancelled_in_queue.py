"""A background run that nobody has begun yet is cancelled once, and its body goes."""

from __future__ import annotations

import pytest

from o_platform.agents.background_service import BackgroundService
from o_platform.agents.inputs import NewAgent
from o_platform.agents.new_agents import insert_agent
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.engine import Database
from o_platform.db.line import Statement
from o_platform.db.models import BackgroundRun, Lineage
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration


async def test_a_run_in_the_queue_is_cancelled_once(database_url: str) -> None:
    database = Database(database_url, vault_of_tests())
    async with database.unit_of_work() as session:
        session.add(Lineage(name="default", key=1))
        await session.flush()
        agent = await insert_agent(session, ToolCatalogue([]), NewAgent(model="o/echo"))
        session.add(
            BackgroundRun(
                run_id="run-1", agent_id=agent.id, request_key="k", request_id="r", client="c",
                body='{"messages": []}', body_digest="d",
            )
        )  # fmt: skip
    runs = BackgroundService(database)
    assert await runs.cancel(agent.id, ["run-1"], besides=["run-1"]) == []
    assert await runs.cancel(agent.id, ["run-1"], besides=[]) == ["run-1"]
    assert await runs.cancel(agent.id, [], besides=[]) == []
    kept = Statement("SELECT row_to_json(r)::text FROM background_runs AS r")
    (row,) = await database.ask(kept)
    assert (row["body"], row["ended_at"] is None) == (None, False)
    await database.close()
