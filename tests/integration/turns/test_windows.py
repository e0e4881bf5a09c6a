"""Context windows: compacted on their own and on demand, shown by part, never cut in silence."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client import APIStatusError
from tests.integration.turns.conftest import TurnPlatform

pytestmark = pytest.mark.integration
LIMIT = 2_000
SAYING = "number {} " + "all work and no play " * 45


def talk(platform: TurnPlatform, agent_id: str, turns: int, **fields: Any) -> list[Any]:
    """What came back of turns of some 500 tokens each."""
    send = platform.letta.agents.messages.create
    return [
        m for n in range(turns) for m in send(agent_id, input=SAYING.format(n), **fields).messages
    ]


def window(platform: TurnPlatform, agent_id: str) -> dict[str, Any]:
    found: dict[str, Any] = platform.http.get(f"/v1/agents/{agent_id}/context").json()
    return found


def summaries(platform: TurnPlatform, agent_id: str) -> list[Any]:
    listed = platform.letta.agents.messages.list(agent_id, order="asc")
    return [m for m in listed if m.message_type == "summary_message"]


def test_a_full_window_is_compacted_and_nothing_is_lost(platform: TurnPlatform) -> None:
    agent_id = platform.agent(context_window_limit=LIMIT)
    before = window(platform, agent_id)
    assert before["context_window_size_max"] == LIMIT
    shown = talk(platform, agent_id, 6)
    assert [m.message_type for m in shown] == ["assistant_message"] * 6
    made = summaries(platform, agent_id)
    assert made
    assert "number 0" in made[0].summary
    after = window(platform, agent_id)
    assert after["context_window_size_current"] <= LIMIT
    assert "SUMMARY of" in after["summary_memory"]
    assert after["num_messages"] < 12
    assert after["num_recall_memory"] == 12 + len(made)
    listed = list(platform.letta.agents.messages.list(agent_id, order="asc"))
    assert len([m for m in listed if m.message_type == "user_message"]) == 6
    run_id = str(shown[-1].run_id)
    assert all(len(platform.letta.runs.steps.list(run_id).items) == 1 for _ in range(1))


def test_the_client_is_told_if_it_wants_to_be(platform: TurnPlatform) -> None:
    agent_id = platform.agent(
        context_window_limit=LIMIT, compaction_settings={"mode": "self_compact_all"}
    )
    shown = talk(platform, agent_id, 5, include_compaction_messages=True)
    told = [m for m in shown if m.message_type == "summary_message"]
    assert told[0].summary == "SELF-MADE SUMMARY"
    assert [m.id for m in told] == [m.id for m in summaries(platform, agent_id)]


def test_what_the_model_refuses_as_too_long_is_compacted(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    platform.letta.agents.messages.create(agent_id, input="hi")
    turn = platform.letta.agents.messages.create(agent_id, input="this is over the top")
    assert [m.content for m in turn.messages] == ["now it fits"]  # type: ignore[union-attr]
    (made,) = summaries(platform, agent_id)
    assert made.summary == "SUMMARY of user: hi\nassistant: scripted: hi"


def test_compaction_on_demand(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    messages, conversations = platform.letta.agents.messages, platform.letta.conversations
    with pytest.raises(APIStatusError, match="too short") as refused:
        messages.compact(agent_id)
    assert refused.value.status_code == 400
    talk(platform, agent_id, 4)
    done = messages.compact(agent_id)
    assert (done.num_messages_before, done.num_messages_after) == (8, 3)
    assert "number 0" in done.summary
    every: Any = {"mode": "all", "prompt": "Summarize this conversation in a word", "clip_chars": 7}
    done = messages.compact(agent_id, compaction_settings=every)
    assert (done.num_messages_before, done.num_messages_after) == (3, 1)
    assert done.summary.startswith("SUMMARY\n[the summary was cut at 7 characters]")
    assert messages.create(agent_id, input="hi").messages[0].content == "scripted: hi"  # type: ignore[union-attr]
    assert window(platform, agent_id)["num_messages"] == 3
    with pytest.raises(APIStatusError, match="mode"):
        messages.compact(agent_id, compaction_settings={"mode": "no_such"})  # type: ignore[typeddict-item]

    conversation = conversations.create(agent_id=agent_id)
    for text in ("one", "two"):
        list(conversations.messages.create(conversation.id, input=text))
    threaded = conversations.messages.compact(conversation.id)
    assert (threaded.num_messages_before, threaded.num_messages_after) == (4, 1)
    own = conversations.messages.compact("default", agent_id=agent_id)
    assert own.num_messages_before == 3


def test_the_window_by_part_and_the_prompt(platform: TurnPlatform) -> None:
    rules = [{"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 2}]
    agent_id = platform.agent(system="You are a test.", tool_rules=rules)
    platform.letta.agents.messages.create(agent_id, input="hi")
    parts = window(platform, agent_id)
    counted = [name for name in parts if name.startswith("num_tokens_")]
    assert sum(parts[name] for name in counted) == parts["context_window_size_current"]
    assert parts["system_prompt"].startswith("You are a test.")
    assert "Ada" in parts["core_memory"]
    assert "at most 2 times" in parts["tool_usage_rules"]
    names = {f["function"]["name"] for f in parts["functions_definitions"]}
    assert "memory_insert" in names
    assert [m["role"] for m in parts["messages"]] == ["user", "assistant"]
    prompt = platform.letta.agents.recompile(agent_id)
    assert "You are a test." in str(prompt)
    assert "Ada" in str(prompt)
    assert platform.http.get(f"/v1/agents/{agent_id[:-4]}0000/context").status_code == 404
    conversation = platform.letta.conversations.create(agent_id=agent_id)
    assert platform.letta.conversations.recompile(conversation.id) == prompt


def test_what_a_turn_can_ask_for_is_done_or_refused(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    skill = {"name": "pdf", "description": "reads PDFs", "location": "skills/pdf.md"}
    create = platform.letta.agents.messages.create
    turn = create(agent_id, input="show the prompt", client_skills=[skill])
    assert "- pdf (skills/pdf.md): reads PDFs" in str(turn.messages[0].content)  # type: ignore[union-attr]
    for asked in ({"return_logprobs": True}, {"top_logprobs": 3}, {"return_token_ids": True}):
        with pytest.raises(APIStatusError, match="not offered") as refused:
            create(agent_id, input="hi", **asked)  # type: ignore[call-overload]
        assert refused.value.status_code == 501
    assert create(agent_id, input="hi", return_logprobs=False, enable_thinking="true").messages
