"""Messages of the retired server become ours, and ours theirs, without a loss."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_contracts.messages import Message, ToolCall, ToolReturn
from o_platform.agents.agent_files.role_messages import RoleMessage, as_roles, as_stored

pytestmark = pytest.mark.unit


def stored(*messages: dict[str, Any], thinks_aloud: bool = False) -> list[Message]:
    prompt = {"role": "system", "content": "compiled prompt"}
    read = [RoleMessage.model_validate(one) for one in (prompt, *messages)]
    return as_stored(read, thinks_aloud=thinks_aloud)


def call(name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": "call_1", "type": "function", "function": function}


def test_the_compiled_prompt_goes_and_texts_are_unwrapped() -> None:
    packed = json.dumps({"type": "user_message", "message": "hello", "time": "noon"})
    beat = json.dumps({"type": "heartbeat", "reason": "go on"})
    text = "Note: the following is a summary of the previous 4 messages: Ada said hello"
    alert = json.dumps({"type": "system_alert", "message": text})
    found = stored(
        {"role": "user", "content": [{"type": "text", "text": packed}]},
        {"role": "user", "content": beat},
        {"role": "user", "content": alert},
        {"role": "summary", "content": "short"},
        {"role": "user", "content": '{"type": "order", "message": "kept as it is"}'},
    )
    assert [(m.type, m.content) for m in found] == [
        ("user_message", "hello"),
        ("system_message", "go on"),
        ("summary_message", text),
        ("summary_message", "short"),
        ("user_message", '{"type": "order", "message": "kept as it is"}'),
    ]


def test_one_reply_becomes_messages_of_one_step() -> None:
    reply = {
        "role": "assistant",
        "content": [
            {"type": "reasoning", "is_native": True, "reasoning": "hm"},
            {"type": "redacted_reasoning", "data": "x"},
            {"type": "text", "text": "I look it up"},
        ],
        "tool_calls": [call("search", query="Ada")],
    }
    found = stored(reply)
    assert [m.type for m in found] == [
        "reasoning_message",
        "hidden_reasoning_message",
        "assistant_message",
        "tool_call_message",
    ]
    assert len({m.step_id for m in found}) == 1
    assert found[-1].tool_calls == [ToolCall("call_1", "search", '{"query": "Ada"}')]
    aloud = [m.type for m in stored(reply, thinks_aloud=True)]
    assert aloud[2:] == ["reasoning_message", "tool_call_message"]


@pytest.mark.parametrize(
    ("message", "text", "status"),
    [
        ({"content": '{"status": "OK", "message": "42", "time": "noon"}'}, "42", "success"),
        ({"content": '{"status": "Failed", "message": "no"}'}, "no", "error"),
        ({"content": '{"answer": 42}'}, '{"answer": 42}', "success"),
        ({"tool_returns": [{"status": "error", "func_response": "no"}]}, "no", "error"),
    ],
)
def test_returns_are_unwrapped(message: dict[str, Any], text: str, status: str) -> None:
    (found,) = stored({"role": "tool", "name": "search", "tool_call_id": "call_1", **message})
    assert found.name == "search"
    assert found.tool_return is not None
    assert (found.tool_return.tool_call_id, found.tool_return.tool_return) == ("call_1", text)
    assert found.tool_return.status == status


def test_a_waiting_approval_still_waits_and_its_answer_is_one() -> None:
    asking = {"role": "approval", "content": "may I?", "tool_calls": [call("pay", euros=3)]}
    answer = {"role": "approval", "approve": False, "denial_reason": "no", "tool_call_id": "call_1"}
    said, asked, answered = stored(asking, answer)
    assert (said.type, said.step_id) == ("assistant_message", asked.step_id)
    assert asked.type == "approval_request_message"
    assert asked.tool_calls is not None
    assert answered.content == [
        {"type": "approval", "approve": False, "tool_call_id": "call_1", "reason": "no"}
    ]


TEXT = st.text(st.characters(exclude_characters="{", exclude_categories=["Cs"]), min_size=1)
CALLS = st.lists(st.builds(ToolCall, TEXT, TEXT, st.just('{"a": 1}')), min_size=1, max_size=2)
ALONE = st.one_of(
    st.builds(dict, type=st.sampled_from(["user_message", "summary_message"]), content=TEXT),
    st.builds(dict, type=st.just("assistant_message"), content=TEXT),
    st.builds(
        dict, type=st.just("tool_return_message"), name=TEXT,
        tool_return=st.builds(
            ToolReturn, TEXT, st.just("success"), TEXT, st.none() | st.lists(TEXT, min_size=1)
        ),
    ),
    st.builds(
        dict, type=st.just("approval_response_message"),
        content=st.just([{"type": "approval", "approve": True, "tool_call_id": "c"}]),
    ),
)  # fmt: skip
REPLIES = st.builds(
    lambda thought, said, calls: [
        {"type": "reasoning_message", "content": thought},
        {"type": "assistant_message", "content": said},
        {"type": "tool_call_message", "tool_calls": calls},
    ],
    TEXT, TEXT, CALLS,
)  # fmt: skip


@given(st.lists(st.one_of(ALONE.map(lambda one: [one]), REPLIES), max_size=8))
def test_what_is_written_is_read_again(turns: list[list[dict[str, Any]]]) -> None:
    messages = [
        Message(id=f"m{n}-{i}", date_us=1_000_000 * n, **{"step_id": f"step-{n}", **fields})
        for n, turn in enumerate(turns)
        for i, fields in enumerate(turn)
    ]
    prompt = RoleMessage(role="system", content="prompt")
    again = as_stored([prompt, *as_roles(messages)], thinks_aloud=False)
    assert [_plain(m) for m in again] == [_plain(m) for m in messages]


def _plain(message: Message) -> tuple[object, ...]:
    return (
        message.type, message.content, message.tool_calls, message.tool_return, message.name,
        message.date_us,
    )  # fmt: skip
