"""With `O_TRACE_DAYS` a step's trace is what was really sent and answered."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from letta_client.types import ProviderTrace
from tests.integration.turns.conftest import START_S, TurnPlatform

from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def traced(platform: TurnPlatform) -> Iterator[TurnPlatform]:
    """The platform while its bridge keeps traces."""
    platform.environ["O_TRACE_DAYS"] = "1"
    _replace_bridge(platform)
    yield platform
    del platform.environ["O_TRACE_DAYS"]
    _replace_bridge(platform)


def _replace_bridge(platform: TurnPlatform) -> None:
    """Stop the bridge on purpose, so that no spare with its settings goes on serving."""
    asyncio.run(until(lambda: _bridge_serves(platform), START_S))
    platform.processes["bridge"].terminate()
    assert platform.processes["bridge"].wait(20) == 0
    platform.start("bridge", [sys.executable, "-m", "o_platform.bridge"])
    asyncio.run(until(lambda: _bridge_serves(platform), START_S))


def _bridge_serves(platform: TurnPlatform) -> bool:
    """Whether it is the bridge itself that answers, and no spare of the one before."""
    holder = (platform.settings.run / "bridge.lock").read_text()
    if holder != str(platform.processes["bridge"].pid):
        return False
    return platform.control.get("/v1/runs/", params={"active": True}).status_code == 200


def _traces(platform: TurnPlatform, run_id: str) -> list[ProviderTrace]:
    """Of a run's steps, in their order."""
    steps = platform.letta.runs.steps.list(run_id, order="asc")
    found = [platform.letta.steps.trace.retrieve(step.id) for step in steps]
    return [trace for trace in found if trace is not None]


def _run(platform: TurnPlatform, agent_id: str, text: str) -> str:
    usage = platform.letta.agents.messages.create(agent_id, input=text).usage
    assert usage.run_ids is not None
    return usage.run_ids[0]


def test_without_it_traces_are_put_together(platform: TurnPlatform) -> None:
    agent = platform.agent()
    (trace,) = _traces(platform, _run(platform, agent, "plain"))
    assert trace.source == "history"
    assert trace.request_json["messages"][-1]["content"] == "plain"  # type: ignore[index]


def test_each_step_has_the_request_it_made(traced: TurnPlatform) -> None:
    agent = traced.agent()
    run_id = _run(traced, agent, "insert honey")
    first, second = _traces(traced, run_id)
    assert (first.source, second.source) == ("provider", "provider")
    asked: Any = first.request_json
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert "<memory_blocks>" in asked["messages"][0]["content"]
    assert asked["messages"][1]["content"] == "insert honey"
    assert "memory_insert" in {tool["function"]["name"] for tool in asked["tools"]}
    said: Any = first.response_json
    (call,) = said["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "memory_insert"
    later: Any = second.request_json
    assert later["messages"][-2]["tool_calls"] == [call]
    assert later["messages"][-1]["tool_call_id"] == call["id"]

    # What the agent becomes afterwards changes nothing of what was sent.
    traced.letta.agents.update(agent, system="Another prompt.")
    again = traced.letta.steps.trace.retrieve(str(first.step_id))
    assert again is not None
    assert again.request_json == first.request_json


def test_streamed_and_plain_turns_alike_and_sealed_at_rest(traced: TurnPlatform) -> None:
    agent = traced.agent()
    conversation = traced.letta.conversations.create(agent_id=agent)
    events = list(traced.letta.conversations.messages.create(conversation.id, input="cinnamon"))
    usage = next(e for e in events if e.message_type == "usage_statistics")
    assert usage.run_ids is not None
    (trace,) = _traces(traced, usage.run_ids[0])
    assert trace.request_json["messages"][-1]["content"] == "cinnamon"  # type: ignore[index]
    with psycopg.connect(traced.url) as connection:
        query = "SELECT body::text FROM step_traces WHERE step_id = %s"
        row = connection.execute(query, (trace.step_id,)).fetchone()
    assert row is not None
    assert "cinnamon" not in row[0]
    traced.letta.agents.delete(agent)
    assert traced.rows("SELECT FROM step_traces WHERE step_id = %s", trace.step_id) == []
