"""Steps and messages by themselves: feedback, messages, traces; messages of all agents."""

from __future__ import annotations

import pytest
from letta_client import Letta, NotFoundError
from tests.contract.api.test_history import message, store, store_runs, tool_turn

from o_contracts.ids import new_id

pytestmark = pytest.mark.contract


def test_a_step_by_itself(letta: Letta, database_url: str) -> None:
    agent = letta.agents.create(system="You are a test.")
    store(database_url, agent.id, [message("user_message", content="before")])
    (run_id,) = store_runs(database_url, agent.id, 1)
    (step,) = letta.runs.steps.list(run_id).items
    about = {"run_id": run_id, "step_id": step.id}
    made = [
        message("user_message", content="now", **about),
        message("reasoning_message", content="hm", **about),
        message("assistant_message", content="let me see", **about),
    ]
    call, returned = tool_turn("memory_insert", '{"label": "human"}')
    made += [
        message("tool_call_message", tool_calls=call.tool_calls, **about),
        message("tool_return_message", tool_return=returned.tool_return, name="t", **about),
    ]
    store(database_url, agent.id, made)

    listed = letta.steps.messages.list(step.id, order="asc", limit=2)
    assert [m.id for m in listed.items] == [m.id for m in made[:2]]
    assert [m.id for m in letta.steps.messages.list(step.id, order="asc")] == [m.id for m in made]

    trace = letta.steps.trace.retrieve(step.id)
    assert trace is not None
    assert (trace.source, trace.run_id, trace.latency_ms) == ("history", run_id, 1)
    asked = trace.request_json["messages"]
    assert isinstance(asked, list)
    assert [m["content"] for m in asked] == ["You are a test.", "before", "now"]
    said = trace.response_json["choices"][0]["message"]  # type: ignore[index]
    assert (said["content"], said["reasoning_content"]) == ("let me see", "hm")
    assert said["tool_calls"][0]["function"]["name"] == "memory_insert"

    spans = letta.runs.trace.retrieve(run_id)
    assert [span["name"] for span in spans] == ["run", "step", "llm", "tools"]
    assert spans[1]["parent_span_id"] == run_id
    assert spans[3]["start_ns"] == spans[2]["start_ns"] + spans[2]["duration_ns"]  # type: ignore[operator]
    assert len(letta.runs.trace.retrieve(run_id, limit=2)) == 2


def test_feedback_is_kept_listed_and_taken_back(letta: Letta, database_url: str) -> None:
    agent = letta.agents.create()
    for run_id in store_runs(database_url, agent.id, 2):
        (last,) = letta.runs.steps.list(run_id).items
    changed = letta.steps.feedback.create(last.id, feedback="positive", tags=["good"])
    assert (changed.feedback, changed.tags) == ("positive", ["good"])
    of_agent = {"agent_id": agent.id}
    assert [s.id for s in letta.steps.list(has_feedback=True, **of_agent)] == [last.id]
    assert [s.id for s in letta.steps.list(feedback="positive", **of_agent)] == [last.id]
    assert [s.id for s in letta.steps.list(tags=["good"], **of_agent)] == [last.id]
    assert letta.steps.list(tags=["good", "bad"], **of_agent).items == []
    assert len(letta.steps.list(has_feedback=False, **of_agent).items) == 1
    assert letta.steps.feedback.create(last.id, feedback=None).feedback is None
    assert letta.steps.list(has_feedback=True, **of_agent).items == []
    with pytest.raises(NotFoundError):
        letta.steps.feedback.create(new_id("step"), feedback="negative")


def test_messages_of_all_agents(letta: Letta, database_url: str) -> None:
    kept = []
    for text in ("one", "two"):
        said = [
            message("user_message", content=text),
            message("assistant_message", content=f"re: {text}"),
        ]
        store(database_url, letta.agents.create().id, said)
        kept += [m.id for m in said]
    assert [m.id for m in letta.messages.list(order="asc")] == kept
    assert [m.id for m in letta.messages.list(limit=2, before=kept[1])] == kept[:0:-1][:2]
    only = letta.messages.list(include_return_message_types=["user_message"])
    assert [m.id for m in only] == [kept[2], kept[0]]
    (found,) = letta.messages.retrieve(kept[3])
    assert (found.id, found.content) == (kept[3], "re: two")  # type: ignore[union-attr]
    with pytest.raises(NotFoundError):
        letta.messages.retrieve(new_id("message"))
