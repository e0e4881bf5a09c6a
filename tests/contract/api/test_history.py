"""Messages, runs and steps over the real SDK, as the bridge stores them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import letta_client
import msgspec
import pytest
from letta_client import Letta
from sqlalchemy.ext.asyncio import AsyncSession

from o_agent.api_messages import ReplyView
from o_contracts.ids import new_id, now_us
from o_contracts.messages import Message, ToolCall, ToolReturn
from o_platform.api.messages.wire import MessageView
from o_platform.db import models
from o_platform.db.engine import Database
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.contract


def message(kind: str, **fields: object) -> Message:
    return Message(new_id("message"), kind, now_us(), **fields)  # type: ignore[arg-type]


def tool_turn(name: str, arguments: str) -> list[Message]:
    call = ToolCall("call-1", name, arguments)
    returned = ToolReturn("call-1", "success", "done", stdout=["out"])
    return [
        message("tool_call_message", tool_calls=[call]),
        message("tool_return_message", tool_return=returned, name=name),
    ]


EVERY_KIND = [
    message("system_message", content="s"),
    message("user_message", content=[{"type": "text", "text": "u"}], otid="o1", name="n"),
    message("reasoning_message", content="because"),
    message("hidden_reasoning_message"),
    *tool_turn("memory_insert", '{"label": "human"}'),
    *tool_turn("send_message", '{"message": "said"}'),
    message("approval_request_message", tool_calls=[ToolCall("c", "t", "{}")]),
    message("approval_response_message"),
    message("summary_message", content="so far"),
    message("event_message", content="compacted"),
    message("assistant_message", content="a", step_id=new_id("step"), run_id=new_id("run")),
]


def store(database_url: str, agent_id: str, messages: list[Message]) -> None:
    async def work(session: AsyncSession) -> None:
        for one in messages:
            body = msgspec.to_builtins(one)
            row = models.Message(
                id=one.id, agent_id=agent_id, type=one.type, body=body, run_id=one.run_id
            )
            session.add(row)
            await session.flush()

    _in_database(database_url, work)


def store_runs(database_url: str, agent_id: str, count: int) -> list[str]:
    ids = [new_id("run") for _ in range(count)]
    at = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)

    async def work(session: AsyncSession) -> None:
        for run_id in ids:
            session.add(
                models.Run(
                    id=run_id, agent_id=agent_id, request_key=run_id, status="completed",
                    stop_reason="end_turn", variant="f" * 64, instance_id="0" * 12, client="",
                    prompt_tokens=10, completion_tokens=3, cached_input_tokens=1,
                    reasoning_tokens=2, step_count=1, created_at=at, duration_us=1_500_000,
                )
            )  # fmt: skip
        await session.flush()
        for run_id in ids:
            session.add(
                models.Step(
                    id=run_id.replace("run", "step"), run_id=run_id, model="o/echo",
                    prompt_tokens=10, completion_tokens=3, stop_reason="end_turn", llm_us=1000,
                    tool_us=2000, created_at=at,
                )
            )  # fmt: skip

    _in_database(database_url, work)
    return ids


def _in_database(database_url: str, work: object) -> None:
    async def run() -> None:
        database = Database(database_url, vault_of_tests())
        async with database.unit_of_work() as session:
            await work(session)  # type: ignore[operator]
        await database.close()

    asyncio.run(run())


def test_every_kind_of_message_parses(letta: Letta, database_url: str) -> None:
    agent = letta.agents.create()
    store(database_url, agent.id, EVERY_KIND)
    listed = letta.agents.messages.list(agent.id, order="asc", use_assistant_message=False)
    assert [one.message_type for one in listed] == [one.type for one in EVERY_KIND]
    newest = letta.agents.messages.list(agent.id, limit=1).items[0]
    assert (newest.message_type, newest.id) == ("assistant_message", EVERY_KIND[-1].id)


def test_instances_and_control_plane_show_the_same() -> None:
    for tool in ("send_message", None):
        mine, theirs = MessageView(tool), ReplyView(None, tool, "message")
        for one in EVERY_KIND:
            if one.type in {"hidden_reasoning_message", "summary_message", "event_message"}:
                continue  # instances make none
            if one.type.startswith("approval_"):
                continue  # nor these
            shown = theirs.show(one)
            assert mine.show(one) == (None if shown is None else msgspec.to_builtins(shown))


def test_said_by_tool(letta: Letta, database_url: str) -> None:
    agent = letta.agents.create()
    store(database_url, agent.id, [message("user_message", content="hi")])
    for _ in range(5):
        store(database_url, agent.id, tool_turn("send_message", '{"message": "said"}'))
    kinds = [one.message_type for one in letta.agents.messages.list(agent.id, limit=1)]
    assert kinds == ["assistant_message"] * 5 + ["user_message"]
    only = letta.agents.messages.list(
        agent.id, include_return_message_types=["assistant_message"], limit=2
    )
    assert [getattr(one, "content", None) for one in only] == ["said"] * 5
    calls = letta.agents.messages.list(agent.id, include_return_message_types=["tool_call_message"])
    assert calls.items == []


def test_paging_of_messages_is_exact(letta: Letta, database_url: str) -> None:
    agent, other = letta.agents.create(), letta.agents.create()
    messages = [message("user_message", content=str(number)) for number in range(23)]
    store(database_url, agent.id, messages[:12])
    store(database_url, other.id, [message("user_message", content="x")])
    store(database_url, agent.id, messages[12:])
    ids = [one.id for one in messages]
    assert [one.id for one in letta.agents.messages.list(agent.id, limit=5)] == ids[::-1]
    assert [one.id for one in letta.agents.messages.list(agent.id, limit=5, order="asc")] == ids
    before = letta.agents.messages.list(agent.id, before=ids[10], limit=4)
    assert [one.id for one in before.items] == ids[14:10:-1]
    assert letta.agents.messages.list(agent.id, group_id="group-1").items == []
    assert letta.agents.retrieve(agent.id).message_ids == ids
    with pytest.raises(letta_client.NotFoundError):
        letta.agents.messages.list(new_id("agent"))


def test_reset(letta: Letta, database_url: str) -> None:
    agent = letta.agents.create(memory_blocks=[{"label": "human", "value": "Bob"}])
    store(database_url, agent.id, EVERY_KIND)
    after = letta.agents.messages.reset(agent.id, add_default_initial_messages=True)
    assert after is not None
    assert (after.message_ids, len(after.blocks)) == ([], 1)
    assert letta.agents.messages.list(agent.id).items == []


def test_runs_and_steps(letta: Letta, http: httpx.Client, database_url: str) -> None:
    agent = letta.agents.create()
    ids = store_runs(database_url, agent.id, 5)
    store(database_url, agent.id, [message("user_message", content="x", run_id=ids[0])])
    paged = [run.id for run in letta.runs.list(agent_id=agent.id, limit=2)]
    assert sorted(paged) == sorted(ids)
    assert len(paged) == len(ids)
    run = letta.runs.retrieve(ids[0])
    assert run.completed_at is not None
    assert run.created_at is not None
    assert run.completed_at - run.created_at == timedelta(seconds=1.5)
    assert letta.runs.usage.retrieve(ids[0]).total_tokens == 13
    assert [one.id for one in letta.runs.messages.list(ids[0])] != []
    step = letta.runs.steps.list(ids[0]).items[0]
    assert (step.api_model_handle, step.agent_id, step.run_id) == ("o/echo", agent.id, ids[0])
    assert letta.steps.retrieve(step.id).total_tokens == 13
    assert letta.steps.metrics.retrieve(step.id).llm_request_ns == 1_000_000
    assert len(list(letta.steps.list(agent_id=agent.id, limit=2))) == 5
    for model, count in (("echo", 5), ("o/echo", 5), ("ech", 0)):
        assert len(letta.steps.list(agent_id=agent.id, model=model).items) == count
    assert letta.steps.list(start_date="2027-01-01T00:00:00Z").items == []
    assert letta.runs.list(active=True).items == []
    assert letta.runs.list(statuses=["failed"]).items == []
    with pytest.raises(letta_client.NotFoundError):
        letta.runs.retrieve(new_id("run"))


def test_messages_are_searched_everywhere_or_of_one_agent(letta: Letta, database_url: str) -> None:
    first, second = letta.agents.create(), letta.agents.create()
    said = [
        message("user_message", content="my dog is called Rex"),
        message("assistant_message", content="Rex is a fine name for dogs"),
        message("reasoning_message", content="they have a dog"),
    ]
    store(database_url, first.id, said)
    store(database_url, second.id, [message("system_message", content="talk of a dog")])
    found = letta.messages.search(query="dog")
    assert {hit.message_type for hit in found} == {
        "user_message", "assistant_message", "reasoning_message", "system_message",
    }  # fmt: skip
    mine = letta.messages.search(query="Rex dog", agent_id=first.id, search_mode="fts", limit=2)
    assert {hit.message_id for hit in mine} == {said[0].id, said[1].id}
    assert all(hit.agent_id == first.id for hit in mine)
    assert letta.messages.search(query="dog", start_date="2999-01-01T00:00:00Z") == []
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert letta.messages.search(query="dog", start_date="2020-01-01", end_date=today) != []
    assert letta.messages.search(query="dog", end_date="9999-12-31") != []
    assert letta.messages.search(query="dog", end_date="2020-01-01") == []
    assert letta.messages.search(query="zebra") == []
    with pytest.raises(letta_client.UnprocessableEntityError):
        letta.messages.search(query="dog", search_mode="magic")  # type: ignore[arg-type]
