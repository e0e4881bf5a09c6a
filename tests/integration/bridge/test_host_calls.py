"""Capabilities of tools: who may use what, and what an outside effect is done once for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from psycopg.types.json import Jsonb

pytestmark = pytest.mark.integration
ASK = json.dumps({"prompt": "how many?"})


async def test_only_grants_of_the_tool_count_and_memory_is_the_turns(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    inside = ["memory.read", "memory.write", "archive.insert"]
    rows.tool("scribe", [*inside, "http.fetch:x.example", "secrets.use:KEY"])
    agent = rows.agent(tools=["scribe"])
    rows.block(agent, "human", "Ada")
    worker = await new_worker()
    turn = await worker.open(agent)
    (spec,) = turn.context.tools
    assert (spec.home, spec.code.entry, spec.code.tier) == ("instance", "scribe", "container")

    assert json.loads((await worker.host(turn, "scribe", "memory.read")).value) == {"human": "Ada"}
    write = json.dumps({"label": "human", "value": "Grace"})
    wrote = await worker.host(turn, "scribe", "memory.write", write)
    assert [block.value for block in wrote.blocks] == ["Grace"]
    kept = await worker.host(turn, "scribe", "archive.insert", json.dumps({"text": "a ship"}))
    assert kept.outcome == "ok"
    denied = await worker.host(turn, "scribe", "llm.complete", ASK)
    assert (denied.outcome, "`llm.complete`" in denied.error) == ("denied", True)
    nameless = json.dumps({"name": "KEY"})
    unset = await worker.host(turn, "scribe", "secrets.use", nameless)
    assert (unset.outcome, "has no secret 'KEY'" in unset.error) == ("error", True)
    rows.secret(agent, "KEY", "s3cret")
    stands = await worker.host(turn, "scribe", "secrets.use", nameless)
    assert json.loads(stands.value) == "{{secret:KEY}}"
    local = json.dumps({"url": "http://127.0.0.1/"})
    refused = await worker.host(turn, "scribe", "http.fetch", local)
    assert (refused.outcome, "not among the domains" in refused.error) == ("error", True)
    wrong = await worker.host(turn, "scribe", "memory.write", "[]")
    assert (wrong.outcome, "no JSON object" in wrong.error) == ("error", True)

    await worker.commit(agent, turn)
    assert rows.one("SELECT value FROM blocks") == "Grace"
    assert rows.one("SELECT text FROM passages") == "a ship"


async def test_a_genome_cannot_grant_itself_what_the_operator_has_not(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent(tools=[])
    rows.block(agent, "human", "Ada")
    worker = await new_worker()
    turn = await worker.open(agent)
    assert (await worker.host(turn, "of_genome", "memory.read")).outcome == "ok"
    for name in ("http.fetch", "llm.complete", "memory.write", "secrets.use"):
        assert (await worker.host(turn, "of_genome", name)).outcome == "denied"


async def test_an_outside_effect_is_paid_once_and_shadows_get_its_answer(
    bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    rows.tool("asker", ["llm.complete"])
    agent = rows.agent(tools=["asker"], model="test/m")
    stable, shadow = await new_worker(), await new_worker("shadow")
    turn, copy = await stable.open(agent, "r1"), await shadow.open(agent, "r1")
    begun = [await one.host(it, "asker", "o.start") for one, it in ((shadow, copy), (stable, turn))]
    assert begun[0] == begun[1] == await stable.host(turn, "asker", "o.start")
    assert len(json.loads(begun[0].value)["seed"]) == 32
    assert rows.one("SELECT count(*) FROM journal") == 0
    first = await stable.host(turn, "asker", "llm.complete", ASK, seq=1000)
    assert rows.one("SELECT count(*) FROM journal WHERE seq = -1") == 1
    again = await stable.host(turn, "asker", "llm.complete", ASK, seq=1000)
    shadowed = await shadow.host(copy, "asker", "llm.complete", ASK, seq=1000)
    assert first == again == shadowed
    assert json.loads(first.value) == {"text": "reply 1"}
    assert model_server.calls == 1
    bench = await new_worker("bench")
    trial = await bench.open("agent-ffffffff-85b6-4d5d-9a07-000000000000")
    assert (await bench.host(trial, "asker", "llm.complete", ASK)).outcome == "denied"


async def test_the_agent_is_read_as_the_turn_opened_with_it_and_so_is_its_shadow(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    rows.tool("stateful", ["agent.read", "memory.read", "memory.write"])
    tags, notes = ["a", "b"], Jsonb({"team": 1})
    agent = rows.agent(tools=["stateful"], tags=tags, metadata=notes, description="d")
    rows.block(agent, "human", "Ada")
    stable, shadow = await new_worker(), await new_worker("shadow")
    turn, copy = await stable.open(agent, "r1"), await shadow.open(agent, "r1")
    assert turn.context.notes is None
    rows.all("UPDATE agents SET tags = '{}', description = 'later', version = version + 1")
    described = await stable.host(turn, "stateful", "agent.read")
    assert described == await shadow.host(copy, "stateful", "agent.read")
    found = json.loads(described.value)
    assert (found["id"], found["tags"], found["metadata"]) == (agent, ["a", "b"], {"team": 1})
    assert (found["description"], found["system"]) == ("d", turn.context.system)

    write, whole = json.dumps({"label": "human", "value": "Eve"}), json.dumps({"blocks": True})
    for worker, it in ((shadow, copy), (stable, turn)):
        assert (await worker.host(it, "stateful", "memory.write", write)).outcome == "ok"
        (block,) = json.loads((await worker.host(it, "stateful", "memory.read", whole)).value)
        assert (block["label"], block["value"], block["read_only"]) == ("human", "Eve", False)
    await shadow.commit(agent, copy)
    assert rows.one("SELECT value FROM blocks") == "Ada"
