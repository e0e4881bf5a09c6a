"""What goes over the socket between the host and a worker: a length, then MessagePack."""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec
from msgspec import Struct

from o_sandbox.outcome import Reason
from o_sandbox.protocol import Channel

HEADER: Final = struct.Struct("<I")
MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
"""Source and arguments of one call together, at most."""


class Start(Struct, frozen=True, tag="start"):
    """Run a tool. `args` is a JSON object; `seed` feeds `random`."""

    code: str
    entry: str
    args: bytes
    seed: int
    cpu_s: float
    memory_bytes: int
    output_bytes: int
    host_calls: int
    grants: list[str]


class Answer(Struct, frozen=True, tag="answer"):
    """What a host call came to: JSON, or a text that the guest sees as `o.HostError`."""

    value: bytes = b"null"
    error: str = ""


class Ready(Struct, frozen=True, tag="ready"):
    """The worker is in its jail; `missing` are the layers that do not hold, with the reason."""

    missing: list[str]


class Refused(Struct, frozen=True, tag="refused"):
    """The worker has no jail that is good enough, and ends."""

    reason: str


class Output(Struct, frozen=True, tag="output"):
    """A piece of what the guest printed."""

    channel: Channel
    text: str


class Call(Struct, frozen=True, tag="call"):
    """The guest calls the host; `arguments` is a JSON object."""

    name: str
    arguments: bytes


class Done(Struct, frozen=True, tag="done"):
    """The end of a run; `value` is JSON."""

    reason: Reason
    value: bytes = b"null"
    error: str = ""


ToWorker = Start | Answer
FromWorker = Ready | Refused | Output | Call | Done

_encoder = msgspec.msgpack.Encoder()
to_worker: Final = msgspec.msgpack.Decoder(ToWorker)
from_worker: Final = msgspec.msgpack.Decoder(FromWorker)


def framed(message: Any) -> bytes:
    """A message as it goes over the socket."""
    body = _encoder.encode(message)
    return HEADER.pack(len(body)) + body
