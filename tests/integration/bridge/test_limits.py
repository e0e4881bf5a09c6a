"""What one instance may have at most: connections, turns, model calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from o_contracts.bridge import TurnOpened
from o_contracts.ids import BENCH_LINEAGE_KEY, new_agent_id, new_id
from o_contracts.llm import LlmResult
from o_platform.bridge.holdings import MAX_CONNECTIONS, MAX_TURNS
from o_platform.bridge.models import MAX_CALLS
from o_platform.testing.peer import RefusedError
from o_platform.testing.waiting import until
from o_tools.manifests import MANIFESTS

pytestmark = pytest.mark.integration


async def test_a_built_in_tool_may_be_called_as_often_as_its_manifest_says(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent(tools=["memory_finish_edits", "send_message"])
    worker = await new_worker()
    turn = await worker.open(agent)
    limit = MANIFESTS["memory_finish_edits"].limits.calls
    results = []
    for number in range(limit + 1):
        answer = await worker.tool(turn, "memory_finish_edits", "{}", seq=number)
        results.append(answer.result)
    assert {result.status for result in results[:limit]} == {"success"}
    assert f"was called {limit} times" in results[limit].tool_return
    other = await worker.tool(turn, "send_message", '{"message": "hi"}', seq=limit + 1)
    assert other.result.status == "success"


async def test_connections_over_the_limit_are_closed_and_counted(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    first = await new_worker()
    own = {"instance_id": first.instance_id}
    others = [await new_worker(**own) for _ in range(MAX_CONNECTIONS - 1)]
    with pytest.raises(ConnectionError):
        await new_worker(**own)
    assert bridge.counters.malformed == {first.instance_id: 1}
    await others[0].peer.die()
    async with asyncio.timeout(10):
        while True:
            try:
                replaced = await new_worker(**own)
            except ConnectionError:
                continue
            break
    await replaced.run(rows.agent())


async def test_turns_of_an_instance_are_bounded(bridge: Any, new_worker: Any) -> None:
    agent = new_agent_id(BENCH_LINEAGE_KEY)
    crowded = await new_worker("bench")
    neighbour = await new_worker("bench", instance_id=crowded.instance_id)
    mine = [crowded.ask_open(agent) for _ in range(MAX_TURNS // 2)]
    first = await crowded.peer.answer(mine[0], TurnOpened)
    await until(lambda: bridge.counters.opened == MAX_TURNS // 2)
    for _ in range(MAX_TURNS // 2):
        neighbour.ask_open(agent)
    for worker in (neighbour, crowded):
        with pytest.raises(RefusedError, match="503 overloaded"):
            await worker.open(new_agent_id(BENCH_LINEAGE_KEY))
    await crowded.commit(agent, first)
    assert (await crowded.open(new_agent_id(BENCH_LINEAGE_KEY))).version == 1


async def test_model_calls_of_a_turn_are_bounded(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent)
    asked = [worker.ask_llm(turn, "hi", seq=number) for number in range(MAX_CALLS + 1)]
    for exchange in asked[:-1]:
        await worker.peer.answer(exchange, LlmResult)
    with pytest.raises(RefusedError, match="429 too_many_calls"):
        await worker.peer.answer(asked[-1], LlmResult)
    await worker.commit(agent, turn)
    await worker.run(agent)


async def test_every_served_call_is_a_step_and_a_repeated_one_is_not(
    bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent)
    for text in ("one", "two", "two", "one"):  # all under one number; the third is in the memo
        await worker.llm(turn, text, "test/m")
    await worker.commit(agent, turn)
    assert model_server.calls == 3
    assert rows.all("SELECT prompt_tokens, step_count FROM runs") == [(30, 3)]
    assert rows.all("SELECT model, prompt_tokens FROM steps") == [("test/m", 10)] * 3
    stored = rows.all("SELECT body FROM messages")
    assert [body["run_id"] for (body,) in stored] == [turn.run_id] * 2


async def test_messages_without_a_valid_id_are_refused(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent)
    with pytest.raises(RefusedError, match="422 bad_input: 'mine' is not the id of a message"):
        await worker.commit(agent, turn, ids=("mine", new_id("message")))
    await worker.run(agent)
