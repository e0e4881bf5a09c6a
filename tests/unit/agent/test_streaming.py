"""A stream whose turn is executed again with another answer."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from o_agent.api_messages import ReplyView
from o_agent.message_ids import TurnIds, UuidSource
from o_agent.streaming import EventStream
from o_agent.turn_frame import DeltaPlace
from o_contracts.llm import LlmDelta, ToolCallDelta
from o_contracts.messages import Message, ToolCall
from o_contracts.turns import TurnRequest

pytestmark = pytest.mark.unit


class Wire:
    """What was sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        body = message.get("body", b"")
        if body:
            self.events.append(json.loads(body.removeprefix(b"data: ")))


def make() -> tuple[Wire, EventStream, TurnIds, DeltaPlace]:
    wire = Wire()
    ids = TurnIds(UuidSource())
    stream = EventStream(
        wire.send,
        ReplyView.of(TurnRequest()),
        UuidSource(),
        wants_tokens=True,
        include_pings=False,
        publisher=None,
    )
    return wire, stream, ids, DeltaPlace(ids, 0, "step-1", "run-1", 1)


def whole(ids: TurnIds, place: str, **fields: Any) -> Message:
    kind: Any = "tool_call_message" if "tool_calls" in fields else "assistant_message"
    return Message(ids.get("message", place, 0), kind, 1, step_id="step-1", **fields)


async def test_the_same_text_again_is_sent_once() -> None:
    wire, stream, ids, place = make()
    await stream.opened("run-1")
    await stream.delta(place, LlmDelta("Hello wo"))
    await stream.opened("run-1")
    for piece in ("Hel", "lo world", "!"):
        await stream.delta(place, LlmDelta(piece))
    await stream.message(whole(ids, "text", content="Hello world!"))
    assert [event["content"] for event in wire.events] == ["Hello wo", "rld", "!"]
    assert len({event["id"] for event in wire.events}) == 1


async def test_a_replay_without_pieces_completes_the_text() -> None:
    wire, stream, ids, place = make()
    await stream.opened("run-1")
    await stream.delta(place, LlmDelta("Hello wo"))
    await stream.opened("run-1")
    await stream.message(whole(ids, "text", content="Hello world!"))
    assert [event["content"] for event in wire.events] == ["Hello wo", "rld!"]


async def test_another_text_is_sent_whole_under_a_new_id() -> None:
    wire, stream, ids, place = make()
    await stream.opened("run-1")
    await stream.delta(place, LlmDelta("Hello wo"))
    await stream.opened("run-1")
    for piece in ("Hello", " there", "!"):
        await stream.delta(place, LlmDelta(piece))
    await stream.message(whole(ids, "text", content="Hello there!"))
    first, second = wire.events
    assert (first["content"], second["content"]) == ("Hello wo", "Hello there!")
    assert first["id"] != second["id"]


async def test_tool_calls_go_on_where_they_were() -> None:
    wire, stream, ids, place = make()
    await stream.opened("run-1")
    await stream.delta(place, LlmDelta(tool_calls=[ToolCallDelta(0, "c", "look", '{"a"')]))
    await stream.opened("run-1")
    await stream.delta(place, LlmDelta(tool_calls=[ToolCallDelta(0, "c", "look", '{"a": 1}')]))
    await stream.message(whole(ids, "calls", tool_calls=[ToolCall("c", "look", '{"a": 1}')]))
    assert [event["tool_call"]["arguments"] for event in wire.events] == ['{"a"', ": 1}"]


async def test_a_whole_message_is_sent_once() -> None:
    wire, stream, ids, _ = make()
    message = whole(ids, "text", content="x")
    await stream.message(message)
    await stream.message(message)
    assert len(wire.events) == 1
