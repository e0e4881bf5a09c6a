"""Conversations: threads of one agent that share its memory and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from letta_client import NotFoundError
from tests.integration.miscounted import MISCOUNTED
from tests.integration.turns.conftest import TurnPlatform

from o_contracts.ids import routing_key

pytestmark = pytest.mark.integration


def say(platform: TurnPlatform, conversation_id: str, text: str, **fields: Any) -> list[Any]:
    stream = platform.letta.conversations.messages.create(
        conversation_id, messages=[{"role": "user", "content": text}], **fields
    )
    return list(stream)


def texts(messages: Any) -> list[str]:
    return [str(m.content) for m in messages if hasattr(m, "content")]


def test_threads_are_apart_and_memory_is_shared(platform: TurnPlatform) -> None:
    letta = platform.letta
    agent_id = platform.agent()
    first = letta.conversations.create(agent_id=agent_id, summary="first")
    second = letta.conversations.create(agent_id=agent_id, model="o/echo")
    assert routing_key(first.id) == routing_key(agent_id)
    events = say(platform, first.id, "hello")
    assert [e.message_type for e in events][:2] == ["ping", "assistant_message"]
    assert texts(events[1:2]) == ["scripted: hello"]
    assert texts(say(platform, second.id, "hi")[1:2]) == ["echo: hi"]
    letta.agents.messages.create(agent_id, input="mine")
    default = say(platform, "default", "too", agent_id=agent_id)
    assert texts(default[1:2]) == ["scripted: too"]

    def listed(conversation_id: str, **fields: Any) -> list[str]:
        page = letta.conversations.messages.list(conversation_id, order="asc", **fields)
        return texts(page.items)

    assert listed(first.id) == ["hello", "scripted: hello"]
    assert listed(second.id) == ["hi", "echo: hi"]
    own = ["mine", "scripted: mine", "too", "scripted: too"]
    assert listed("default", agent_id=agent_id) == own
    assert texts(letta.agents.messages.list(agent_id, order="asc").items) == own
    assert len(letta.conversations.retrieve(first.id).in_context_message_ids or []) == 2
    (run,) = letta.runs.list(conversation_id=first.id).items
    assert (run.agent_id, run.conversation_id) == (agent_id, first.id)

    # What one conversation writes, the others see; the agent's cached default one, too.
    say(platform, first.id, "insert honey")
    window = platform.rows("SELECT value FROM blocks")
    assert sum("honey" in value for (value,) in window) == 1
    again = say(platform, first.id, "and now?")
    assert texts(again[1:2]) == ["scripted: and now?"]


def test_conversations_run_side_by_side_and_queue_within(platform: TurnPlatform) -> None:
    letta = platform.letta
    agent_id = platform.agent()
    threads = [letta.conversations.create(agent_id=agent_id).id for _ in range(4)]

    def talk(place: int) -> None:
        events = say(platform, threads[place % 4], f"insert fact{place}")
        stops = [e.stop_reason for e in events if e.message_type == "stop_reason"]
        assert stops == ["end_turn"], events

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(talk, range(12)))
    value = str(letta.agents.blocks.retrieve("human", agent_id=agent_id).value)
    assert sorted(value.split()[1:]) == sorted(f"fact{n}" for n in range(12))
    for thread in threads:
        page = letta.conversations.messages.list(thread, order="asc", limit=100).items
        said = [m.message_type for m in page]
        one = ["user_message", "assistant_message", "tool_call_message", "tool_return_message"]
        assert said == [*one, "assistant_message"] * 3


def test_a_fork_goes_its_own_way(platform: TurnPlatform) -> None:
    letta = platform.letta
    agent_id = platform.agent()
    source = letta.conversations.create(agent_id=agent_id, summary="source")
    say(platform, source.id, "one")
    say(platform, source.id, "two")
    stored = letta.conversations.messages.list(source.id, order="asc").items
    fork = letta.conversations.fork(source.id, message_id=stored[1].id)
    assert fork.summary == "source"
    say(platform, fork.id, "three")
    copied = letta.conversations.messages.list(fork.id, order="asc").items
    assert texts(copied) == ["one", "scripted: one", "three", "scripted: three"]
    assert not {m.id for m in copied} & {m.id for m in stored}
    assert len(letta.conversations.messages.list(source.id).items) == 4
    letta.agents.messages.create(agent_id, input="base")
    of_default = letta.conversations.fork("default", agent_id=agent_id, hidden=True)
    assert len(letta.conversations.messages.list(of_default.id).items) == 2

    listed = letta.conversations.list(agent_id=agent_id)
    assert [c.id for c in listed] == [fork.id, source.id]
    assert [c.id for c in letta.conversations.list(agent_id=agent_id, limit=1)] == [fork.id]
    letta.conversations.update(source.id, archived=True)
    assert [c.id for c in letta.conversations.list(agent_id=agent_id)] == [fork.id]
    letta.conversations.delete(fork.id)
    with pytest.raises(NotFoundError):
        letta.conversations.retrieve(fork.id)
    assert platform.http.post(f"/v1/conversations/{fork.id}/messages", json={"input": "x"}
                              ).status_code == 404  # fmt: skip


def test_threads_know_how_many_messages_they_have(platform: TurnPlatform) -> None:
    letta = platform.letta
    agent_id = platform.agent()
    thread = letta.conversations.create(agent_id=agent_id).id
    for _ in range(2):
        letta.agents.messages.create(agent_id, input="mine")
    say(platform, thread, "hello")
    say(platform, thread, "insert honey")  # changes memory, and so the agent
    fork = letta.conversations.fork(thread).id
    say(platform, fork, "and on")

    def counts() -> list[int]:
        rows = platform.rows("SELECT message_count FROM agents WHERE id = %s", agent_id)
        rows += platform.rows(
            "SELECT message_count FROM conversations WHERE agent_id = %s ORDER BY created_at",
            agent_id,
        )
        return [count for (count,) in rows]

    own, said, forked = counts()
    assert (own, forked) == (4, said + 2)
    assert said > 4
    letta.agents.messages.reset(agent_id)
    assert counts() == [0, said, forked]
    assert platform.rows(MISCOUNTED) == []
