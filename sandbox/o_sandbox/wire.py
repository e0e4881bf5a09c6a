"""Frames between an engine and those who use it: a 4-byte length (big-endian), then MessagePack.

A connection carries one call at a time: `Run`, then any number of `Output` and of `Ask` (each met
by one `Answer`), then `Done`. Closing the connection ends the call. Neither side trusts the other:
a frame that is too long or does not fit its type ends the connection.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.tool import Language

MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
HEADER_BYTES: Final = 4
Message = TypeVar("Message")


class FrameError(Exception):
    """The other side sent what is no frame."""


class Run(Struct, frozen=True, tag="run", array_like=True):
    """Call a tool once.

    `code` is source as UTF-8, or a binary; `arguments` a JSON object as text. `seed` and `now_ns`
    (Unix time) are all that the guest learns of chance and time. `scratch`: it has the folder.
    """

    name: str
    language: Language
    code: bytes
    function: str
    arguments: str
    limits: Limits
    seed: bytes
    now_ns: int
    scratch: bool = False


class Output(Struct, frozen=True, tag="output", array_like=True):
    """A piece of what the guest printed."""

    channel: str
    text: str


class Ask(Struct, frozen=True, tag="ask", array_like=True):
    """The guest calls the host; `arguments` is JSON text of its making."""

    name: str
    arguments: str


class Answer(Struct, frozen=True, tag="answer", array_like=True):
    """What the host says to an `Ask`: JSON text if `ok`, else a sentence."""

    ok: bool
    content: str
    denied: bool = False


class Done(Struct, frozen=True, tag="done", array_like=True):
    """The end of the call. `value` is the outcome's, as JSON: not every value has another form."""

    outcome: Outcome
    value: bytes = b"null"


ToEngine = Run | Answer
FromEngine = Output | Ask | Done


def frame(message: Struct) -> bytes:
    """One message with its length.

    Raises:
        FrameError: it is too long.
    """
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes is too long")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class Frames(Generic[Message]):
    """Cuts a stream of bytes into messages of the expected types."""

    def __init__(self, kind: Any) -> None:
        """`kind`: a union of tagged structs."""
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(kind)
        self._held = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        """Take what was read."""
        self._held += data

    def next(self) -> Message | None:
        """The next whole message, if there is one.

        Raises:
            FrameError: no message can start so.
        """
        if len(self._held) < HEADER_BYTES:
            return None
        end = HEADER_BYTES + int.from_bytes(self._held[:HEADER_BYTES], "big")
        if end > HEADER_BYTES + MAX_FRAME_BYTES:
            raise FrameError(f"a frame of {end - HEADER_BYTES} bytes is announced")
        if len(self._held) < end:
            return None
        body = bytes(memoryview(self._held)[HEADER_BYTES:end])
        del self._held[:end]
        try:
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise FrameError(f"a frame cannot be read: {error}") from error
