"""Shadows and bench instances change nothing; who is who is said by the database."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from o_contracts.bridge import HELLO, Hello, TurnOpened, Welcome
from o_contracts.ids import BENCH_LINEAGE_KEY, new_agent_id
from o_platform.testing.peer import Peer, RefusedError
from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration

COUNTS = """
SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM messages), (SELECT count(*) FROM steps),
  (SELECT count(*) FROM passages), (SELECT count(*) FROM journal),
  (SELECT sum(version) FROM agents),
  (SELECT sum(version) FROM blocks)
"""


async def test_a_shadow_reads_what_its_original_read_and_writes_nothing(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    rows.block(agent, "human", "one")
    stable, shadow = await new_worker(), await new_worker("shadow")
    await stable.run(agent, "r0", "before")
    turn = await stable.open(agent, "r1")
    await stable.tool(turn, "memory_insert", '{"label": "human", "new_string": "two"}')
    await stable.commit(agent, turn, "original")
    before = rows.all(COUNTS)

    copy = await shadow.open(agent, "r1")
    assert (copy.version, copy.finished) == (turn.version, None)
    assert [m.content for m in copy.context.messages] == ["before", "echo: before"]
    assert copy.context.blocks[0].value == "one"
    edited = await shadow.tool(copy, "memory_insert", '{"label": "human", "new_string": "x"}')
    assert edited.blocks[0].value == "one\nx"
    await shadow.tool(copy, "archival_memory_insert", '{"content": "x"}', seq=1)
    found = await shadow.tool(copy, "conversation_search", '{"query": "original"}', seq=2)
    assert found.result.tool_return == "Nothing was found."
    assert (await shadow.llm(copy, "shadowed")).text == "echo: shadowed"
    assert (await shadow.commit(agent, copy, "shadowed")).version == 0
    assert rows.all(COUNTS) == before
    assert (await stable.open(agent, "r1", attempt=2)).finished.messages[0].content == "original"


async def test_a_shadow_waits_for_its_original(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    stable, shadow = await new_worker(), await new_worker("shadow")
    early = shadow.ask_open(agent, "r1")
    turn = await stable.open(agent, "r1")
    copy = await shadow.peer.answer(early, TurnOpened)
    assert copy.context == turn.context
    # Neither waits for the other's commit.
    await shadow.commit(agent, copy)
    await stable.commit(agent, turn)
    assert rows.one("SELECT count(*) FROM runs") == 1


async def test_a_shadow_without_an_original_is_told_so(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    shadow = await new_worker("shadow")
    with pytest.raises(RefusedError, match="409 no_original"):
        await shadow.open(rows.agent(), "r1")


async def test_a_shadows_model_call_is_not_journaled(
    bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    agent = rows.agent()
    stable, shadow = await new_worker(), await new_worker("shadow")
    turn, copy = await stable.open(agent, "r1"), await shadow.open(agent, "r1")
    assert (await shadow.llm(copy, "hello", "test/m")).text == "reply 1"
    assert (await stable.llm(turn, "hello", "test/m")).text == "reply 2"
    assert rows.one("SELECT count(*) FROM journal") == 1


async def test_a_bench_instance_has_agents_of_its_own_in_memory(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent, real = new_agent_id(BENCH_LINEAGE_KEY), rows.agent()
    first, second = await new_worker("bench"), await new_worker("bench")
    before = rows.all(COUNTS)
    turn = await first.open(agent, "r1", attempt=2, otids=["a"])
    assert turn.context.model == "o/echo"
    assert {block.label for block in turn.context.blocks} == {"persona", "human"}
    await first.tool(turn, "memory_insert", '{"label": "human", "new_string": "hi"}')
    assert (await first.commit(agent, turn, "hello")).version == 2
    following = await first.open(agent)
    assert [m.content for m in following.context.messages] == ["hello", "echo: hello"]
    assert {block.value for block in following.context.blocks} == {"", "hi"}
    found = await first.tool(following, "conversation_search", '{"query": "HELLO"}')
    assert len(json.loads(found.result.tool_return)) == 2
    assert (await first.open(agent, "r2", otids=["a"])).finished is not None
    assert (await second.open(agent)).version == 1
    with pytest.raises(RefusedError, match="404 not_found"):
        await first.open(real)
    assert rows.all(COUNTS) == before


async def test_a_bench_agent_is_unknown_elsewhere(bridge: Any, new_worker: Any, rows: Any) -> None:
    worker = await new_worker()
    with pytest.raises(RefusedError, match="404 not_found"):
        await worker.open(new_agent_id(BENCH_LINEAGE_KEY))


async def test_role_and_variant_are_those_of_the_row(bridge: Any, settings: Any, rows: Any) -> None:
    instance_id = rows.instance("canary")
    path = settings.run / "instances" / instance_id / "out" / "bridge.sock"
    await until(path.exists)
    peer = await Peer.connect(path, hello=False)
    welcome = await peer.ask(HELLO, Hello([1, 99], "i-am-stable", 1), Welcome)
    assert (welcome.version, welcome.instance_id, welcome.role) == (1, instance_id, "canary")
    assert welcome.variant == "v" * 64
    assert oct(path.stat().st_mode & 0o777) == "0o666"
    assert oct(path.parent.stat().st_mode & 0o777) == "0o711"
    await peer.die()


async def test_an_unwanted_instance_ends_its_turns_and_gets_no_new_connection(
    bridge: Any, settings: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    path = settings.run / "instances" / worker.instance_id / "out" / "bridge.sock"
    turn = await worker.open(agent)

    def update(change: str) -> None:
        rows.all(f"UPDATE instances SET {change} WHERE id = %s", worker.instance_id)  # noqa: S608
        rows.all("SELECT pg_notify('o_instances', %s)", worker.instance_id)

    update("wanted = false, status = 'stopping'")
    await until(lambda: not path.exists())
    await worker.commit(agent, turn)
    update("status = 'stopped'")
    await asyncio.wait_for(worker.peer.lost.wait(), 10)


async def test_a_promoted_instance_keeps_its_connections(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker, marker = await new_worker("canary"), await new_worker("canary")
    rows.all("UPDATE instances SET role = 'stable' WHERE id = %s", worker.instance_id)
    rows.all("UPDATE instances SET role = 'shadow' WHERE id = %s", marker.instance_id)
    rows.all("SELECT pg_notify('o_instances', 'all')")
    # Another kind of role reads and writes elsewhere: that one must connect anew.
    await asyncio.wait_for(marker.peer.lost.wait(), 10)
    await worker.run(agent)


async def test_an_instance_that_cannot_have_its_socket_keeps_none_from_its_own(
    bridge: Any, new_worker: Any, rows: Any, settings: Any
) -> None:
    in_the_way = settings.run / "instances" / "0123456789ab"
    in_the_way.touch()
    blocked = rows.instance("stable", instance_id=in_the_way.name)
    await (await new_worker()).run(rows.agent())
    in_the_way.unlink()
    await (await new_worker(instance_id=blocked)).run(rows.agent())
