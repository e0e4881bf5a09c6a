"""Turns at set times, by the real SDK on a running platform."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from letta_client import Letta, NotFoundError, UnprocessableEntityError
from letta_client.types.agents import ScheduleRetrieveResponse
from tests.contract.live.conftest import Live

from o_platform.agents.turn_client import Sender, TurnClient
from o_platform.testing.waiting import until

pytestmark = pytest.mark.contract
SAID = [{"role": "user", "content": "wake up"}]


async def test_a_turn_runs_when_it_is_due(letta: Letta) -> None:
    agent_id = letta.agents.create(model="o/echo").id
    due = {"type": "one-time", "scheduled_at": time.time() * 1000 + 300}
    made = letta.agents.schedule.create(agent_id, messages=SAID, schedule=due)  # type: ignore[arg-type]
    assert made.next_scheduled_at is not None

    def over() -> ScheduleRetrieveResponse | None:
        found = letta.agents.schedule.retrieve(made.id, agent_id=agent_id)
        return found if found.next_scheduled_time is None else None

    assert (await until(over)).id == made.id
    replies = [
        m for m in letta.agents.messages.list(agent_id) if m.message_type == "assistant_message"
    ]
    assert [reply.content for reply in replies] == ["echo: wake up"]
    assert letta.agents.schedule.list(agent_id).scheduled_messages == []


def test_schedules_are_listed_and_deleted(letta: Letta) -> None:
    agent_id = letta.agents.create(model="o/echo").id
    yearly = {"type": "recurring", "cron_expression": "0 0 1 1 *"}
    ids = [
        letta.agents.schedule.create(agent_id, messages=SAID, schedule=yearly, max_steps=3).id  # type: ignore[arg-type]
        for _ in range(3)
    ]
    page = letta.agents.schedule.list(agent_id, limit="2")
    assert [one.id for one in page.scheduled_messages] == ids[:2]
    assert page.has_next_page
    rest = letta.agents.schedule.list(agent_id, after=ids[1])
    assert [one.id for one in rest.scheduled_messages] == ids[2:]
    assert not rest.has_next_page
    found = rest.scheduled_messages[0]
    assert found.message.max_steps == 3
    assert found.next_scheduled_time is not None
    assert datetime.fromisoformat(found.next_scheduled_time).day == 1

    assert letta.agents.schedule.delete(ids[0], agent_id=agent_id).success
    with pytest.raises(NotFoundError):
        letta.agents.schedule.retrieve(ids[0], agent_id=agent_id)
    bad = {"type": "recurring", "cron_expression": "every day"}
    with pytest.raises(UnprocessableEntityError, match="five fields") as refused:
        letta.agents.schedule.create(agent_id, messages=SAID, schedule=bad)  # type: ignore[arg-type]
    (wrong,) = refused.value.body["detail"]  # type: ignore[index]
    assert wrong["loc"] == ["body", "schedule", "recurring", "cron_expression"]


async def test_a_run_that_is_sent_again_runs_once(live: Live, letta: Letta) -> None:
    agent_id = letta.agents.create(model="o/echo").id
    turns = TurnClient(live.home.parent / "r" / "internal.sock")
    try:
        first = await turns.send(agent_id, {"messages": SAID}, Sender("schedule", "schedule-x:0"))
        again = await turns.send(agent_id, {"messages": SAID}, Sender("schedule", "schedule-x:0"))
    finally:
        await turns.close()
    assert first["messages"] == again["messages"]
    assert len(list(letta.runs.list(agent_id=agent_id))) == 1
