"""What turns change of an agent is shown by a control plane that had kept it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from o_platform.agents.stamped_agents import StampedAgents
from o_platform.agents.tools import ToolCatalogue
from o_platform.api.agents.shown_agents import ShownAgents
from o_platform.db.engine import Database
from o_tools.catalogue import SPECS

pytestmark = pytest.mark.integration


async def test_turns_are_shown_at_once(
    bridge: Any, new_worker: Any, rows: Any, database: Database
) -> None:
    agents = StampedAgents(database, ToolCatalogue(SPECS.values()))
    kept = ShownAgents(agents)
    speaks, holds = rows.agent(), rows.agent()
    block = rows.block(speaks, "human", "name: ?")
    rows.attach(holds, block, "human")
    worker = await new_worker()
    before = {one: await kept.one(one) for one in (speaks, holds)}

    await worker.run(speaks)
    shown = msgspec.json.decode(await kept.one(speaks))
    assert len(shown["message_ids"]) == 2
    assert shown["last_stop_reason"] == "end_turn"
    assert await kept.one(holds) == before[holds]

    turn = await worker.open(speaks)
    edit = {"label": "human", "old_string": "?", "new_string": "Ada"}
    await worker.tool(turn, "memory_replace", json.dumps(edit))
    assert msgspec.json.decode(await kept.one(holds))["blocks"][0]["value"] == "name: ?"
    await worker.commit(speaks, turn)
    for one in (speaks, holds):
        assert msgspec.json.decode(await kept.one(one))["blocks"][0]["value"] == "name: Ada"
        assert await kept.one(one) == await ShownAgents(agents).one(one)
