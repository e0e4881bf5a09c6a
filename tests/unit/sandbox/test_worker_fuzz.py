"""Whatever a worker says, broken or hostile, the host gets an outcome or a clean refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import HostCallError
from o_sandbox.worker import wire
from o_sandbox.worker.call import Call, DeniedError
from o_sandbox.worker.frames import Frames, WorkerDiedError

pytestmark = pytest.mark.unit

LIMITS = Limits(wall_s=5.0, output_bytes=1000, host_calls=3)
START = wire.Start("", "f", b"{}", 1, 1.0, 1, 1000, 3, ["echo"])
REFUSALS = (ValueError, RecursionError, WorkerDiedError, DeniedError)
"""What `Worker.run` turns into an outcome."""

texts = st.text(max_size=40)
nested = st.integers(1, 5000).map(lambda depth: b"[" * depth + b"]" * depth)
json_like = st.one_of(
    st.binary(max_size=60),
    nested,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)
names = st.sampled_from(["echo", "refuse", "", "echo\0", "__class__", "secrets.use", "e" * 500])
reasons = st.sampled_from(["ok", "error", "timeout", "denied", "OK", "", "trap\n"])
messages = st.one_of(
    st.builds(wire.Call, name=names | texts, arguments=json_like),
    st.builds(wire.Output, channel=st.sampled_from(["stdout", "stderr", "3", ""]), text=texts),
    st.builds(wire.Done, reason=reasons, value=json_like, error=texts),
    st.builds(wire.Ready, missing=st.lists(texts, max_size=3)),
    st.builds(wire.Refused, reason=texts),
)
frames = st.one_of(
    messages.map(wire.framed),
    st.binary(max_size=80),
    st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=40)).map(
        lambda pair: wire.HEADER.pack(pair[0]) + pair[1]
    ),
    messages.map(lambda message: wire.framed(message)[:-1]),
)


class HostileWorker:
    """Says what it was given, then hangs up."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._frames = Frames()
        self.sent: list[wire.ToWorker] = []
        for piece in pieces:
            self._frames.get_buffer(len(piece))[: len(piece)] = piece
            self._frames.buffer_updated(len(piece))
        self._frames.connection_lost(None)

    def send(self, message: wire.ToWorker) -> None:
        wire.to_worker.decode(wire.framed(message)[wire.HEADER.size :])
        self.sent.append(message)

    async def receive(self) -> wire.FromWorker:
        return await self._frames.next()

    def cpu_s(self) -> float:
        return 0.0

    def grown_bytes(self) -> int:
        return 0


async def play(pieces: list[bytes]) -> tuple[Outcome | Exception, HostileWorker, list[str]]:
    reached: list[str] = []

    async def echo(arguments: Mapping[str, Any]) -> dict[str, Any]:
        reached.append("echo")
        return dict(arguments)

    async def refuse(arguments: Mapping[str, Any]) -> None:
        reached.append("refuse")
        raise HostCallError("no")

    worker = HostileWorker(pieces)
    call = Call(worker, LIMITS, {"echo": echo, "refuse": refuse}, None)
    try:
        return await call.play(START), worker, reached
    except REFUSALS as error:
        return error, worker, reached


@settings(max_examples=150, deadline=None)
@given(st.lists(frames, max_size=8))
def test_any_bytes_of_a_worker_end_in_an_outcome_or_a_refusal(pieces: list[bytes]) -> None:
    ending, worker, reached = asyncio.run(play(pieces))
    assert len(reached) <= LIMITS.host_calls, "more host calls than the limit"
    if isinstance(ending, Outcome):
        printed = ending.stdout + ending.stderr
        assert len(printed.encode()) <= LIMITS.output_bytes
        assert len(ending.calls) == len(worker.sent) - 1
        granted = [each for each in ending.calls if each.name in ("echo", "refuse")]
        assert len(granted) >= len(reached)
        assert all(len(each.name) <= 200 for each in ending.calls)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(names | texts, json_like), min_size=1, max_size=12))
def test_only_granted_names_reach_a_function_however_they_are_spelled(
    calls: list[tuple[str, bytes]],
) -> None:
    pieces = [wire.framed(wire.Call(name, arguments)) for name, arguments in calls]
    _, _, reached = asyncio.run(play([*pieces, wire.framed(wire.Done("ok"))]))
    spelled = [name for name, _ in calls if name in ("echo", "refuse")]
    assert reached == spelled[: len(reached)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200_000), st.sampled_from([b"\x91", b"\x81\xa1a"]))
def test_nested_frames_are_refused_whatever_their_depth(depth: int, opening: bytes) -> None:
    body = opening * depth + b"\xc0"
    decoder = msgspec.msgpack.Decoder(wire.FromWorker)
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        decoder.decode(body)
    ending, _, reached = asyncio.run(play([wire.HEADER.pack(len(body)) + body]))
    assert isinstance(ending, REFUSALS)
    assert reached == []
