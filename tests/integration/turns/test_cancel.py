"""Cancelling turns: while a model is asked, while words are streamed, and before they begin."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest
from tests.integration.turns.conftest import TurnPlatform

from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration


def active(platform: TurnPlatform, agent_id: str, count: int) -> list[Any]:
    """The agent's turns, once there are this many."""

    def listed() -> list[Any]:
        runs = platform.letta.runs.list(agent_id=agent_id, active=True).items
        return runs if len(runs) == count else []

    return asyncio.run(until(listed, 30))


def test_a_turn_and_the_one_behind_it_are_cancelled(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(platform.send, agent_id, {"input": "slow 1"})
        active(platform, agent_id, 1)
        second = pool.submit(platform.send, agent_id, {"input": "slow 2"})
        runs = active(platform, agent_id, 2)
        assert {run.status for run in runs} == {"created", "running"}
        (waiting,) = (run for run in runs if run.status == "created")
        (running,) = (run for run in runs if run.status == "running")
        retrieved = platform.letta.runs.retrieve(running.id)
        assert (retrieved.status, retrieved.stop_reason) == ("running", None)
        for among in ({"active": True}, {}):  # a client that asks for every page sees each once
            paged = platform.letta.runs.list(agent_id=agent_id, limit=1, **among)  # type: ignore[arg-type]
            assert [run.id for run in islice(paged, 5)] == [waiting.id, running.id]

        messages = platform.letta.agents.messages
        assert messages.cancel(agent_id, run_ids=[waiting.id]) == {waiting.id: "cancelled"}
        early = second.result(20).json()
        assert early["stop_reason"]["stop_reason"] == "cancelled"
        assert early["messages"] == []
        began = time.monotonic()
        assert messages.cancel(agent_id) == {running.id: "cancelled"}
        turn = first.result(20).json()
        assert time.monotonic() - began < 15  # the model would have taken 30 s
    assert turn["stop_reason"]["stop_reason"] == "cancelled"
    ended = platform.letta.runs.retrieve(running.id)
    assert (ended.status, ended.stop_reason) == ("cancelled", "cancelled")
    assert messages.cancel(agent_id) == {}
    assert messages.cancel(agent_id, run_ids=[running.id]) == {running.id: "not_running"}
    follow = messages.create(agent_id, input="fine")
    assert follow.messages[0].content == "scripted: fine"


def test_what_was_streamed_stays_when_it_is_cancelled(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    messages = platform.letta.agents.messages
    said = [{"role": "user", "content": "say words"}]
    stream = messages.create(agent_id, messages=said, streaming=True, stream_tokens=True)
    events = []
    for event in stream:
        events.append(event)
        if event.message_type == "assistant_message" and "two" in str(event.content):
            messages.cancel(agent_id)
    text = "".join(str(e.content) for e in events if e.message_type == "assistant_message")
    assert text.startswith("one two")
    assert "ten" not in text
    assert [e.stop_reason for e in events if e.message_type == "stop_reason"] == ["cancelled"]
    stored = messages.list(agent_id).items[0]
    assert (stored.message_type, stored.content) == ("assistant_message", text)


def test_a_waiting_approval_can_be_withdrawn(platform: TurnPlatform) -> None:
    rules = [{"type": "requires_approval", "tool_name": "memory_insert"}]
    agent_id = platform.agent(tool_rules=rules)
    messages = platform.letta.agents.messages
    turn = messages.create(agent_id, input="insert bread")
    run_id = turn.messages[-1].run_id
    assert messages.cancel(agent_id) == {run_id: "cancelled"}
    assert messages.cancel(agent_id) == {}
    assert platform.letta.agents.retrieve(agent_id).pending_approval is None
    assert messages.create(agent_id, input="hi").messages[0].content == "scripted: hi"


def test_a_cancellation_ends_a_turn_within_a_tenth_of_a_second(platform: TurnPlatform) -> None:
    agent_id, took = platform.agent(), []
    with ThreadPoolExecutor(1) as pool:
        for _ in range(4):  # the quickest counts: others do other work on this machine
            turn = pool.submit(platform.send, agent_id, {"input": "slow 1"})
            active(platform, agent_id, 1)
            began = time.monotonic()
            platform.letta.agents.messages.cancel(agent_id)
            assert turn.result(20).json()["stop_reason"]["stop_reason"] == "cancelled"
            took.append(time.monotonic() - began)
    assert min(took) < 0.1, took
