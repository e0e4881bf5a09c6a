"""The frame protocol of the bridge and of the LLM gateway.

A frame is a 4-byte big-endian length followed by MessagePack `[kind, id, op, body]`. One connection
carries many exchanges at once, told apart by `id` (chosen by the side that asks, > 0, never reused
while open). An exchange is `REQUEST` then one `REPLY` or `ERROR`; a streaming one is `REQUEST`, any
number of `CHUNK`, then `END` (its body is the final result) or `ERROR`. The asking side may send
`CANCEL`; it grants chunks by `CREDIT` (body: number of further chunks allowed; the first
`INITIAL_CREDIT` are free), so that a slow reader holds back its producer and nobody else.

The first exchange on a connection is `hello`; everything malformed closes the connection.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

MAX_FRAME_BYTES: Final = 8 * 1024 * 1024
PROTOCOL_VERSIONS: Final = (1,)
"""Versions this build speaks, newest last. Two are kept once a second exists."""
INITIAL_CREDIT: Final = 64
"""Chunks a producer may send before the first `CREDIT`."""

_LENGTH_BYTES: Final = 4
_encoder = msgspec.msgpack.Encoder()


class Kind(IntEnum):
    """What a frame is within its exchange."""

    REQUEST = 0
    REPLY = 1
    ERROR = 2
    CHUNK = 3
    END = 4
    CANCEL = 5
    CREDIT = 6


class Frame(NamedTuple):
    """One decoded frame; `body` is MessagePack, decoded by whoever knows `op`."""

    kind: int
    id: int
    op: str
    body: msgspec.Raw


class FrameError(ValueError):
    """The peer sent something that is not a frame; the connection must be closed."""


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of an `ERROR` frame. `status` is the HTTP status a client should see."""

    code: str
    message: str
    status: int = 500
    detail: dict[str, Any] = {}
    retryable: bool = False


class Empty(msgspec.Struct, frozen=True):
    """A body with nothing in it."""


_frame_decoder = msgspec.msgpack.Decoder(Frame)
MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding MessagePack of another shape, that is not UTF-8, or is nested too deep raises."""
T = TypeVar("T")


def encode_frame(kind: Kind, exchange: int, op: str, body: object) -> bytes:
    """One frame, ready to be written.

    Raises:
        FrameError: the encoded frame is larger than `MAX_FRAME_BYTES`.
    """
    payload = _encoder.encode((int(kind), exchange, op, body))
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameError(f"frame of {len(payload)} bytes exceeds the maximum of {MAX_FRAME_BYTES}")
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + payload


def decode_body(frame: Frame, kind: type[T]) -> T:
    """The frame's body as `kind`.

    Raises:
        FrameError: the body has another shape.
    """
    try:
        return msgspec.msgpack.decode(frame.body, type=kind)
    except MALFORMED as error:
        raise FrameError(f"malformed body of {frame.op!r}: {error}") from error


class FrameDecoder:
    """Cuts a byte stream into frames; feed it whatever arrived."""

    __slots__ = ("_buffer", "_needed")

    def __init__(self) -> None:
        """Start with an empty buffer."""
        self._buffer = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Append `data` and return every frame that is complete now.

        Raises:
            FrameError: a length over `MAX_FRAME_BYTES`, or a payload that is not a frame.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._needed:
                return []
            data = bytes(buffer)
            buffer.clear()
        frames: list[Frame] = []
        start, available = 0, len(data)
        self._needed = _LENGTH_BYTES
        while available - start >= _LENGTH_BYTES:
            length = int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"frame of {length} bytes exceeds {MAX_FRAME_BYTES}")
            end = start + _LENGTH_BYTES + length
            if available < end:
                self._needed = _LENGTH_BYTES + length
                break
            try:
                frames.append(_frame_decoder.decode(data[start + _LENGTH_BYTES : end]))
            except MALFORMED as error:
                raise FrameError(f"malformed frame: {error}") from error
            start = end
        if start < available:
            buffer += data[start:]
        return frames
