"""The bridge goes away and comes back: turns pause, none fails, none runs twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from o_contracts.frames import ErrorBody
from o_contracts.llm import LlmDelta, LlmRequest, LlmResult
from o_contracts.messages import ToolCall

pytestmark = pytest.mark.integration


def in_background(call: Callable[[], Any]) -> Future[Any]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def test_a_restart_in_the_middle_of_a_turn_costs_no_request(
    instance: Any, frame_bridge: Any
) -> None:
    agent_id = frame_bridge.add_agent()
    frame_bridge.hold.clear()
    answer = in_background(lambda: instance.say(agent_id, "hi", **{"x-request-id": "r1"}))
    assert frame_bridge.waiting.wait(5)
    frame_bridge.stop()
    frame_bridge.hold.set()
    frame_bridge.start()
    assert answer.result(10)["messages"][0]["content"] == "echo: hi"
    assert [opening.request_id for opening in frame_bridge.opened] == ["r1", "r1"]
    assert len(frame_bridge.commits) == 1
    assert instance.say(agent_id, "again")["messages"][0]["content"] == "echo: again"


def test_a_turn_that_arrives_while_the_bridge_is_away_waits(
    instance: Any, frame_bridge: Any
) -> None:
    agent_id = frame_bridge.add_agent()
    frame_bridge.stop()
    instance.wait_unready()
    answer = in_background(lambda: instance.say(agent_id, "patience"))
    timer = threading.Timer(0.5, frame_bridge.start)
    timer.start()
    assert answer.result(10)["messages"][0]["content"] == "echo: patience"
    timer.join()
    instance.wait_ready()


@pytest.mark.parametrize("tokens", [False, True])
def test_a_stream_goes_on_where_it_was(instance: Any, frame_bridge: Any, tokens: bool) -> None:
    """The first step is streamed, the bridge restarts in the second."""
    call = ToolCall("call_1", "count_words", '{"text": "a b"}')
    first = LlmResult("Counting.", tool_calls=[call], finish_reason="tool_calls")

    def answer(request: LlmRequest) -> Any:
        if request.seq == 0:
            reply, pieces = first, [LlmDelta("Count"), LlmDelta("ing.")]
        else:
            if not frame_bridge.waiting.is_set():
                frame_bridge.hold.clear()
            reply, pieces = LlmResult("Two."), [LlmDelta("Two.")]
        return (pieces, reply) if request.stream else reply

    frame_bridge.llm = answer
    body = {"input": "x", "stream_tokens": tokens}
    path = f"/v1/agents/{frame_bridge.add_agent()}/messages/stream"
    response = in_background(lambda: instance.http.post(path, json=body))
    assert frame_bridge.waiting.wait(5)
    frame_bridge.stop()
    frame_bridge.hold.set()
    frame_bridge.start()
    parts = response.result(10).text.split("\n\n")[:-2]
    sent = [json.loads(part.removeprefix("data: ")) for part in parts]
    by_id: dict[str, str] = {}
    for event in sent:
        if event["message_type"] == "assistant_message":
            by_id[event["id"]] = by_id.get(event["id"], "") + event["content"]
    (commit,) = frame_bridge.commits
    said = [m for m in commit.messages if m.type == "assistant_message"]
    assert by_id == {message.id: message.content for message in said}
    assert list(by_id.values()) == ["Counting.", "Two."]
    names = [event["message_type"] for event in sent]
    assert names.count("ping") == names.count("tool_return_message") == 1
    assert names[-2:] == ["stop_reason", "usage_statistics"]


def test_a_passing_error_is_tried_again(instance: Any, frame_bridge: Any) -> None:
    away = ErrorBody("unavailable", "the platform restarts", 503, retryable=True)
    frame_bridge.fail_next = {"turn.open": [away, away], "turn.commit": [away]}
    response = instance.say(frame_bridge.add_agent(), "hi")
    assert response["messages"][0]["content"] == "echo: hi"
    assert len(frame_bridge.commits) == 1
    assert len(frame_bridge.abandoned) == 1


def test_a_bridge_that_waited_for_the_database_in_vain_is_not_asked_again(
    instance: Any, frame_bridge: Any
) -> None:
    away = ErrorBody("database_unavailable", "no space left", 503, retryable=True)
    frame_bridge.fail_next = {"turn.commit": [away]}
    response = instance.send(frame_bridge.add_agent(), {"input": "hi"})
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.headers["retry-after"] == "1"
    assert frame_bridge.commits == []
    assert len(frame_bridge.abandoned) == 1


def test_a_fenced_turn_is_opened_again(instance: Any, frame_bridge: Any) -> None:
    fenced = ErrorBody("fenced", "another attempt runs it", 409, retryable=True)
    frame_bridge.fail_next = {"turn.commit": [fenced]}
    assert instance.say(frame_bridge.add_agent(), "hi")["messages"]
    assert frame_bridge.abandoned == []


def test_a_malformed_frame_is_answered_by_a_new_connection(
    instance: Any, frame_bridge: Any
) -> None:
    for writer in list(frame_bridge._writers):
        frame_bridge._loop.call_soon_threadsafe(writer.write, b"\xff\xff\xff\xff nonsense")
    response = instance.say(frame_bridge.add_agent(), "hi")
    assert response["messages"][0]["content"] == "echo: hi"
