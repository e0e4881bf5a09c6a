"""What a peer may send: everything else is refused where it is decoded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from o_contracts.bridge import Hello, TurnCommit
from o_contracts.frames import Frame, FrameDecoder, FrameError, Kind, decode_body, encode_frame
from o_contracts.llm import LlmRequest
from o_contracts.messages import Message, Usage

pytestmark = pytest.mark.unit

DEEP = b"\x91" * 200_000 + b"\x00"
NOT_UTF8 = b"\xa2\xff\xfe"


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize("size", [1, 3, 4, 7, 1000])
def test_frames_are_cut_wherever_the_bytes_were(size: int) -> None:
    sent = [encode_frame(Kind.REQUEST, n, "hello", Hello([1], "v" * n, n)) for n in range(1, 9)]
    data = b"".join(sent)
    decoder = FrameDecoder()
    frames = [f for at in range(0, len(data), size) for f in decoder.feed(data[at : at + size])]
    assert [decode_body(frame, Hello).pid for frame in frames] == list(range(1, 9))


@pytest.mark.parametrize(
    "payload",
    [b"\x93\x00\x01\x80", b"\x94\x00\x01" + NOT_UTF8 + b"\x80", b"\x94\x00\x01\xa1x" + DEEP],
)
def test_what_is_not_a_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        FrameDecoder().feed(framed(payload))


@pytest.mark.parametrize("value", [DEEP, NOT_UTF8])
def test_a_body_of_another_shape_is_refused(value: bytes) -> None:
    body = b"\x83\xa5model\xa1m\xa8messages\x90\xa8settings\x81\xa1a" + value
    with pytest.raises(FrameError):
        decode_body(Frame(Kind.REQUEST, 1, "llm.complete", msgspec.Raw(body)), LlmRequest)


@pytest.mark.parametrize(
    "message",
    [
        {"id": "message-" + "x" * 3000},
        {"date_us": -1},
        {"date_us": 10**18},
        {"type": "decree"},
    ],
)
def test_a_message_that_could_not_be_stored_or_shown_is_refused(message: dict[str, Any]) -> None:
    good = Message("message-1", "user_message", 1, "hi")
    commit = TurnCommit(1, "run-1", "agent-1", [good], [], "end_turn", Usage())
    fields = msgspec.to_builtins(commit)
    assert msgspec.convert(fields, TurnCommit) == commit
    fields["messages"][0] |= message
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=TurnCommit)
