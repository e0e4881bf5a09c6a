"""Agents that write to each other: each message is one run of the one that gets it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from o_contracts.bridge import TOOL_CALL, ToolCallRequest, ToolCallResult, TurnOpened
from o_contracts.control import TURNS_CANCEL, TurnsCancel, TurnsCancelled
from o_platform.settings import Settings
from o_platform.testing.peer import Peer, RefusedError
from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration
ASYNC, WAIT, TAGGED = TOOLS = (
    "send_message_to_agent_async",
    "send_message_to_agent_and_wait_for_reply",
    "send_message_to_agents_matching_tags",
)


@pytest.fixture
def settings(short_tmp: Path) -> Settings:
    """A turn waits a second for its agent."""
    return Settings(home=short_tmp / "home", run_dir=short_tmp, turn_wait_s=1.0)


def _ask(worker: Any, turn: TurnOpened, tool: str, **arguments: Any) -> int:
    call = ToolCallRequest(turn.token, turn.run_id, 0, "call-0", tool, json.dumps(arguments))
    return int(worker.peer.start(TOOL_CALL, call))


async def _answered(worker: Any, exchange: int) -> tuple[str, str]:
    answer = await worker.peer.answer(exchange, ToolCallResult)
    return answer.result.status, answer.result.tool_return


async def _sent(rows: Any, agent_id: str) -> tuple[str, str, str]:
    """The request that is sent to an agent: its id, its body and for whom it is."""
    query = "SELECT run_id, request_id, client FROM background_runs WHERE agent_id = %s"
    found = await until(lambda: rows.all(query, agent_id))
    ((run_id, request_id, client),) = found
    return run_id, request_id, client


async def _answer(worker: Any, rows: Any, agent_id: str, text: str) -> TurnOpened:
    """What the control plane and an instance do with a message."""
    _, request_id, client = await _sent(rows, agent_id)
    turn: TurnOpened = await worker.open(agent_id, request_id, client=client, background="{}")
    await worker.commit(agent_id, turn, text)
    return turn


async def test_a_reply_comes_back_and_is_asked_for_once(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    ada, bob = rows.agent(tools=[WAIT]), rows.agent(name="bob")
    first, second = await new_worker(), await new_worker()
    turn = await first.open(ada, "r1")
    _ask(first, turn, WAIT, message="What is new?", other_agent_id=bob)
    run_id, _, client = await _sent(rows, bob)
    assert client == f"agents:{ada}"
    await first.peer.die()
    again = await second.open(ada, "r1", attempt=2)
    asked = _ask(second, again, WAIT, message="What is new?", other_agent_id=bob)
    told = await _answer(second, rows, bob, "All is well")
    assert told.run_id == run_id
    assert await _answered(second, asked) == ("success", "echo: All is well")
    await second.commit(ada, again)
    assert rows.one("SELECT count(*) FROM runs WHERE agent_id = %s", bob) == 1


async def test_who_waits_for_a_reply_is_not_taken_for_silent(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    ada, bob = rows.agent(tools=[WAIT]), rows.agent(name="bob")
    worker = await new_worker()
    turn = await worker.open(ada)
    asked = _ask(worker, turn, WAIT, message="Take your time", other_agent_id=bob)
    await _sent(rows, bob)
    with pytest.raises(RefusedError, match="busy"):
        await worker.open(ada)
    await _answer(worker, rows, bob, "I did")
    assert await _answered(worker, asked) == ("success", "echo: I did")
    await worker.commit(ada, turn)


async def test_a_message_without_a_reply_is_only_sent(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    ada, bob = rows.agent(tools=[ASYNC]), rows.agent(name="bob")
    worker = await new_worker()
    turn = await worker.open(ada)
    asked = _ask(worker, turn, ASYNC, message="Look at it", other_agent_id=bob)
    assert await _answered(worker, asked) == ("success", "The message is on its way to bob.")
    await worker.commit(ada, turn)
    await _answer(worker, rows, bob, "I did")


async def test_all_with_the_tags_are_asked(bridge: Any, new_worker: Any, rows: Any) -> None:
    ada = rows.agent(tools=[TAGGED], tags=["team", "red"])
    bob = rows.agent(name="bob", tags=["team", "red"])
    eve = rows.agent(name="eve", tags=["team", "blue"])
    rows.agent(name="outsider", tags=["red"])
    worker = await new_worker()
    turn = await worker.open(ada)
    tags = {"match_all": ["team"], "match_some": ["red", "blue"]}
    asked = _ask(worker, turn, TAGGED, message="Who is there?", **tags)
    await _answer(worker, rows, bob, "me")
    _, request_id, _ = await _sent(rows, eve)
    rows.all(
        "UPDATE background_runs SET ended_at = now(), failure = %s "
        "WHERE request_id = %s AND agent_id = %s",
        json.dumps({"message": "no model"}),
        request_id,
        eve,
    )
    rows.all("SELECT pg_notify('o_runs', run_id) FROM background_runs WHERE agent_id = %s", eve)
    status, text = await _answered(worker, asked)
    assert status == "success"
    assert json.loads(text) == sorted(
        [
            {"agent_id": bob, "name": "bob", "reply": "echo: me"},
            {"agent_id": eve, "name": "eve", "reply": "Error: eve failed: no model"},
        ],
        key=lambda one: one["agent_id"],
    )


async def test_who_cannot_be_asked_is_said(bridge: Any, new_worker: Any, rows: Any) -> None:
    ada, bob = (rows.agent(name=name, tools=list(TOOLS)) for name in ("ada", "bob"))
    worker = await new_worker()
    turn = await worker.open(ada, client=f"agents:{bob}")
    for tool, arguments, says in (
        (WAIT, {"other_agent_id": ada}, "is you"),
        (WAIT, {"other_agent_id": "agent-none"}, "no agent 'agent-none'"),
        (WAIT, {"other_agent_id": bob}, "bob may wait for you"),
        (TAGGED, {}, "say which tags"),
        (TAGGED, {"match_all": ["x"]}, "no other agent"),
        (WAIT, {}, "not valid"),
    ):
        status, text = await _answered(worker, _ask(worker, turn, tool, message="hi", **arguments))
        assert status == "error"
        assert says in text
    deep = await worker.open(bob, client="agents:" + ",".join(f"agent-{n}" for n in range(8)))
    status, text = await _answered(
        worker, _ask(worker, deep, ASYNC, message="hi", other_agent_id=ada)
    )
    assert (status, "one after the other" in text) == ("error", True)
    assert rows.one("SELECT count(*) FROM background_runs") == 0


async def test_a_cancelled_turn_waits_for_no_reply(
    bridge: Any, new_worker: Any, rows: Any, settings: Any
) -> None:
    ada, bob = rows.agent(tools=[WAIT]), rows.agent(name="bob")
    worker = await new_worker()
    turn = await worker.open(ada)
    asked = _ask(worker, turn, WAIT, message="Still there?", other_agent_id=bob)
    await _sent(rows, bob)
    control = await Peer.connect(settings.run / "bridge.sock")
    await control.ask(TURNS_CANCEL, TurnsCancel(ada), TurnsCancelled)
    with pytest.raises(RefusedError, match="cancelled"):
        await asyncio.wait_for(worker.peer.answer(asked, ToolCallResult), 5)
    await control.die()


async def test_a_shadow_reaches_nobody(bridge: Any, new_worker: Any, rows: Any) -> None:
    bob = rows.agent(name="bob")
    ada = rows.agent(tools=[ASYNC])
    worker = await new_worker()
    shadow = await new_worker("shadow")
    await worker.open(ada, "r1")
    turn = await shadow.open(ada, "r1")
    asked = _ask(shadow, turn, ASYNC, message="Look at it", other_agent_id=bob)
    status, text = await _answered(shadow, asked)
    assert (status, "no other agent is reached" in text) == ("error", True)
    assert rows.one("SELECT count(*) FROM background_runs") == 0
