"""Streamed turns: order, shapes, pieces, errors, and clients that go away."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from letta_client import APIStatusError, Letta

from o_contracts.frames import INITIAL_CREDIT, ErrorBody
from o_contracts.ids import new_id
from o_contracts.llm import LlmDelta, LlmRequest, LlmResult, ToolCallDelta
from o_contracts.messages import ToolCall, ToolSpec, Usage

pytestmark = pytest.mark.integration


def events(text: str) -> list[dict[str, Any]]:
    """The JSON events of a stream, which must end as streams end."""
    parts = text.split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    lines = [part.splitlines() for part in parts[:-2]]
    return [json.loads(line[-1].removeprefix("data: ")) for line in lines]


def kinds(stream: list[dict[str, Any]]) -> list[str]:
    return [event["message_type"] for event in stream]


def stream(instance: Any, agent_id: str, body: dict[str, Any], **headers: str) -> Any:
    path = f"/v1/agents/{agent_id}/messages/stream"
    return instance.http.post(path, json=body, headers=headers)


def test_whole_messages_in_order(instance: Any, frame_bridge: Any) -> None:
    response = stream(instance, frame_bridge.add_agent(), {"input": "hi"})
    assert response.headers["content-type"].startswith("text/event-stream")
    ping, message, stop, usage = events(response.text)
    (commit,) = frame_bridge.commits
    assert (ping["message_type"], ping["run_id"]) == ("ping", commit.run_id)
    assert message["content"] == "echo: hi"
    assert message["id"] == commit.messages[1].id
    assert stop == {"message_type": "stop_reason", "stop_reason": "end_turn"}
    assert usage["total_tokens"] == 10
    assert frame_bridge.llm_requests[0].stream is False


def test_tokens_share_the_messages_id_and_otid(instance: Any, frame_bridge: Any) -> None:
    body = {"input": "one two three", "stream_tokens": True, "include_pings": False}
    sent = events(stream(instance, frame_bridge.add_agent(), body).text)
    pieces = [event for event in sent if event["message_type"] == "assistant_message"]
    stored = frame_bridge.commits[0].messages[1]
    assert len(pieces) == 4
    assert "".join(piece["content"] for piece in pieces) == "echo:onetwothree"
    assert {piece["id"] for piece in pieces} == {stored.id}
    assert {piece["otid"] for piece in pieces} == {stored.otid}
    assert kinds(sent)[-2:] == ["stop_reason", "usage_statistics"]
    assert "ping" not in kinds(sent)


def test_the_sdk_reads_a_token_stream(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    transport = httpx.HTTPTransport(uds=str(instance.socket))
    with Letta(base_url="http://o", http_client=httpx.Client(transport=transport)) as client:
        with pytest.warns(DeprecationWarning, match="deprecated"):
            on_its_path = client.agents.messages.stream(agent_id, input="a b", stream_tokens=True)
        for streamed in (
            on_its_path,
            client.agents.messages.create(agent_id, input="a b", streaming=True),
        ):
            names = [type(event).__name__ for event in streamed]
            assert names[0] == "LettaPing"
            assert set(names[1:-2]) == {"AssistantMessage"}
            assert names[-2:] == ["LettaStopReason", "LettaUsageStatistics"]


def test_an_old_sdk_gets_json_on_the_plain_path(instance: Any, frame_bridge: Any) -> None:
    headers = {"x-stainless-package-version": "0.1.324"}
    response = instance.send(frame_bridge.add_agent(), {"input": "x", "streaming": True}, **headers)
    assert response.json()["messages"][0]["content"] == "echo: x"


def test_tool_calls_stream_as_pieces(instance: Any, frame_bridge: Any) -> None:
    call = ToolCall("call_1", "count_words", '{"text": "a b"}')
    asked = LlmResult(reasoning="Let me", tool_calls=[call], finish_reason="tool_calls")
    pieces = [
        LlmDelta(reasoning="Let "),
        LlmDelta(reasoning="me"),
        LlmDelta(tool_calls=[ToolCallDelta(0, "call_1", "count_words", '{"te')]),
        LlmDelta(tool_calls=[ToolCallDelta(0, None, None, 'xt": "a b"}')]),
    ]

    def answer(request: LlmRequest) -> Any:
        return (pieces, asked) if request.seq == 0 else ([LlmDelta("2")], LlmResult("2"))

    frame_bridge.llm = answer
    body = {"input": "x", "stream_tokens": True}
    sent = events(stream(instance, frame_bridge.add_agent(), body).text)
    assert kinds(sent) == [
        "ping",
        "reasoning_message",
        "reasoning_message",
        "tool_call_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    first, second = sent[3:5]
    assert first["tool_call"] == {
        "name": "count_words",
        "arguments": '{"te',
        "tool_call_id": "call_1",
    }
    assert second["tool_calls"]["arguments"] == 'xt": "a b"}'
    assert first["id"] == second["id"] != sent[1]["id"]
    assert sent[5]["tool_return"] == "2"


def test_a_send_message_call_is_not_streamed_in_pieces(instance: Any, frame_bridge: Any) -> None:
    call = ToolCall("call_1", "send_message", '{"message": "Hello!"}')
    delta = LlmDelta(tool_calls=[ToolCallDelta(0, "call_1", "send_message", call.arguments)])
    frame_bridge.llm = lambda _: ([delta], LlmResult(tool_calls=[call], usage=Usage(1, 1)))
    agent_id = frame_bridge.add_agent(
        tools=[ToolSpec("send_message", "Say it.", {"type": "object", "properties": {}})],
        tool_rules=[{"type": "exit_loop", "tool_name": "send_message"}],
    )
    sent = events(stream(instance, agent_id, {"input": "x", "stream_tokens": True}).text)
    assert kinds(sent) == ["ping", "assistant_message", "stop_reason", "usage_statistics"]
    assert sent[1]["content"] == "Hello!"


def test_a_long_reply_needs_and_gets_credit(instance: Any, frame_bridge: Any) -> None:
    words = [f"{number} " for number in range(5 * INITIAL_CREDIT)]
    result = LlmResult("".join(words))
    frame_bridge.llm = lambda _: ([LlmDelta(word) for word in words], result)
    body = {"input": "x", "stream_tokens": True}
    sent = events(stream(instance, frame_bridge.add_agent(), body).text)
    text = [event["content"] for event in sent if event["message_type"] == "assistant_message"]
    assert "".join(text) == result.text
    assert frame_bridge.granted >= len(words) - INITIAL_CREDIT


def test_background_events_are_numbered(instance: Any, frame_bridge: Any) -> None:
    body = {"input": "x", "background": True}
    sent = events(stream(instance, frame_bridge.add_agent(), body).text)
    assert [event.get("seq_id") for event in sent] == [None, 1, None, None]
    assert json.loads(frame_bridge.opened[0].background) == body
    (published,) = frame_bridge.published
    assert published.first == 1
    assert [json.loads(event) for event in published.events] == [sent[1]]


def test_a_background_turn_goes_on_where_another_worker_left_it(
    instance: Any, frame_bridge: Any
) -> None:
    agent_id = frame_bridge.add_agent()
    body = {"input": "a b c", "background": True, "stream_tokens": True}
    frame_bridge.run_id = new_id("run")
    first = events(stream(instance, agent_id, body).text)[1:-2]
    assert [event["content"] for event in first] == ["echo:", "a", "b", "c"]
    frame_bridge.published.clear()
    frame_bridge.published_before = [json.dumps(event) for event in first[:2]]
    second = events(stream(instance, agent_id, body).text)[1:-2]
    assert [event["content"] for event in second] == ["b", "c"]
    assert [event["seq_id"] for event in second] == [3, 4]
    assert {event["id"] for event in first + second} == {first[0]["id"]}
    assert [one.first for one in frame_bridge.published] == [3, 4]


def test_filters_hold_for_streams(instance: Any, frame_bridge: Any) -> None:
    frame_bridge.llm = lambda _: (
        [LlmDelta(reasoning="hm"), LlmDelta("yes")],
        LlmResult("yes", reasoning="hm"),
    )
    only = {"include_return_message_types": ["assistant_message"], "stream_tokens": True}
    sent = events(stream(instance, frame_bridge.add_agent(), {"input": "x"} | only).text)
    assert kinds(sent)[1:-2] == ["assistant_message"]


def test_an_error_before_the_first_byte_is_a_status(instance: Any) -> None:
    response = stream(instance, "agent-00000001-0000-4000-8000-000000000000", {"input": "x"})
    assert response.status_code == 404


def test_an_error_after_the_first_byte_is_an_event(instance: Any, frame_bridge: Any) -> None:
    frame_bridge.llm = lambda _: ErrorBody("llm_timeout", "no answer in 120 s", 504)
    agent_id = frame_bridge.add_agent()
    response = stream(instance, agent_id, {"input": "x"})
    assert response.status_code == 200
    assert "event: error\ndata: {" in response.text
    _, stop, error = events(response.text)
    assert stop["stop_reason"] == "llm_api_error"
    assert error["message_type"] == "error_message"
    assert (error["error_type"], error["message"]) == ("llm_timeout", "no answer in 120 s")
    assert error["run_id"] == frame_bridge.abandoned[0].run_id
    transport = httpx.HTTPTransport(uds=str(instance.socket))
    with Letta(base_url="http://o", http_client=httpx.Client(transport=transport)) as client:
        streamed = client.agents.messages.create(agent_id, input="x", streaming=True)
        with pytest.raises(APIStatusError, match="no answer in 120 s"):
            list(streamed)


def test_a_client_that_goes_away_ends_its_turn(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    for path in ("messages", "messages/stream"):
        frame_bridge.cancelled.clear()
        frame_bridge.waiting.clear()
        frame_bridge.hold.clear()
        body = b'{"input": "x"}'
        head = f"POST /v1/agents/{agent_id}/{path} HTTP/1.1\r\nhost: o\r\n"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(instance.socket))
            client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            assert frame_bridge.waiting.wait(5)
        assert frame_bridge.cancelled.wait(5)
        frame_bridge.hold.set()
    instance.say(agent_id, "the agent is free again")
    assert [end.code for end in frame_bridge.abandoned] == ["cancelled", "cancelled"]
    assert len(frame_bridge.commits) == 1
