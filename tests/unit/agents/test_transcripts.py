"""Conversations as text for agents that were not part of them."""

from __future__ import annotations

import pytest

from o_contracts.messages import Message, MessageType, ToolCall, ToolReturn
from o_platform.agents.transcripts import LONGEST_MESSAGE, LONGEST_TRANSCRIPT, transcript

pytestmark = pytest.mark.unit


def said(kind: MessageType, text: str | None = None, **fields: object) -> Message:
    return Message("message-1", kind, 0, text, **fields)  # type: ignore[arg-type]


def test_who_said_what_is_told_and_thoughts_are_not() -> None:
    call = ToolCall("c1", "look", '{"at": "sea"}')
    messages = [
        said("user_message", "hi"),
        said("reasoning_message", "hm"),
        said("tool_call_message", tool_calls=[call]),
        said("tool_return_message", tool_return=ToolReturn("c1", "success", "blue")),
        said("assistant_message", "It is blue."),
    ]
    assert transcript([(None, message) for message in messages]).split("\n\n") == [
        "[user] hi",
        '[calls look] {"at": "sea"}',
        "[tool result] blue",
        "[assistant] It is blue.",
    ]


def test_conversations_are_told_apart() -> None:
    threads = [None, "conv-1", "conv-1", None]
    told = transcript([(one, said("user_message", str(n))) for n, one in enumerate(threads)])
    assert told.split("\n\n") == [
        "[user] 0",
        "(In conv-1:)",
        "[user] 1",
        "[user] 2",
        "(In the default conversation:)",
        "[user] 3",
    ]


def test_what_is_cut_is_said() -> None:
    long = transcript([(None, said("user_message", "x" * (LONGEST_MESSAGE + 7)))])
    assert long == f"[user] {'x' * LONGEST_MESSAGE} … (7 more characters)"
    many = [(None, said("user_message", f"{n:03} " + "y" * 1000)) for n in range(100)]
    parts = transcript(many).split("\n\n")
    assert parts[0] == f"({100 - len(parts[1:])} earlier parts are left out: too long.)"
    assert parts[-1].startswith("[user] 099")
    assert sum(map(len, parts[1:])) <= LONGEST_TRANSCRIPT
    assert transcript([]) == ""
