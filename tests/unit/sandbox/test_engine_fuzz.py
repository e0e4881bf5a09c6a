"""Both ends of an engine's socket, and the functions its guests import, against hostile input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from o_sandbox import wire
from o_sandbox.client import EngineClient
from o_sandbox.engine.call import Call, Caller
from o_sandbox.engine.connection import ClosedError, Connection
from o_sandbox.engine.ending import Ended
from o_sandbox.engine.meter import Meter
from o_sandbox.limits import Limits
from o_sandbox.outcome import HostCall, Outcome, Reason, Used
from o_sandbox.protocol import HostCallError, SandboxError

pytestmark = pytest.mark.unit

LIMITS = Limits(wall_s=5.0, output_bytes=1000, host_calls=3)
RUN = wire.Run("f", "python", b"", "f", "{}", LIMITS, b"seed", 1)

texts = st.text(max_size=40)
nested = st.integers(1, 3000).map(lambda depth: '{"a":' + "[" * depth + "]" * depth + "}")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
json_like = texts | nested | values.map(json.dumps)
names = st.sampled_from(["echo", "refuse", "", "echo\0", "__class__", "n" * 500]) | texts
outcomes = st.builds(
    Outcome,
    reason=st.sampled_from(["ok", "trap", "escaped", ""]),
    error=texts,
    calls=st.lists(st.builds(HostCall, texts, st.just("ok"), st.floats()), max_size=2),
    used=st.builds(Used, wall_s=st.floats()),
)
messages = st.one_of(
    st.builds(wire.Ask, names, json_like),
    st.builds(wire.Output, st.sampled_from(["stdout", "stderr", "3", ""]), texts),
    st.builds(wire.Done, outcomes, json_like.map(str.encode)),
    st.builds(wire.Answer, st.booleans(), json_like),
)
deep = st.integers(1, 100_000).map(lambda depth: b"\x91" * depth + b"\xc0")
frames = st.one_of(
    messages.map(wire.frame),
    st.binary(max_size=80),
    (deep | st.binary(max_size=40)).map(lambda body: len(body).to_bytes(4, "big") + body),
    st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=40)).map(
        lambda pair: pair[0].to_bytes(4, "big") + pair[1]
    ),
    messages.map(lambda message: wire.frame(message)[:-1]),
)


async def call_hostile_engine(folder: Path, said: bytes) -> tuple[Outcome | SandboxError, int]:
    """What a caller makes of an engine that says this and hangs up, and what it was led to do."""
    reached = 0

    async def echo(arguments: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal reached
        reached += 1
        return dict(arguments)

    async def refuse(_: Mapping[str, Any]) -> None:
        nonlocal reached
        reached += 1
        raise HostCallError("no")

    path = folder / "e.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        playing = asyncio.create_task(play(listener, said))
        client = EngineClient(path, calls=1)
        try:
            return await client.run(RUN, {"echo": echo, "refuse": refuse}, None), reached
        except SandboxError as error:
            return error, reached
        finally:
            client.close()
            await playing


async def play(listener: socket.socket, said: bytes) -> None:
    """The engine: says it, and reads until its caller hangs up."""
    loop = asyncio.get_running_loop()
    peer, _ = await loop.sock_accept(listener)
    with peer, contextlib.suppress(ConnectionError):
        await loop.sock_sendall(peer, said)
        peer.shutdown(socket.SHUT_WR)
        while await loop.sock_recv(peer, 65536):
            pass


@settings(max_examples=100, deadline=None)
@given(pieces=st.lists(frames, max_size=8))
def test_whatever_an_engine_says_its_caller_gets_an_outcome_or_one_kind_of_error(
    pieces: list[bytes], shared_folder: Path
) -> None:
    ending, reached = asyncio.run(call_hostile_engine(shared_folder, b"".join(pieces)))
    assert reached <= LIMITS.host_calls
    if isinstance(ending, Outcome):
        assert ending.reason in get_args(Reason)
        assert len(ending.stdout) + len(ending.stderr) <= LIMITS.output_bytes
        assert len(ending.calls) <= LIMITS.host_calls + 1


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e")


@settings(max_examples=120, deadline=None)
@given(pieces=st.lists(st.builds(wire.frame, st.just(RUN)) | frames, max_size=6))
def test_whatever_a_caller_says_an_engine_gets_calls_or_hangs_up(pieces: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    connection = Connection(theirs)
    ours.sendall(b"".join(pieces)[:100_000])
    ours.close()
    with contextlib.closing(connection), pytest.raises((ClosedError, wire.FrameError)):
        take_all(connection)


def take_all(connection: Connection) -> None:
    while True:
        assert isinstance(connection.next_run(), wire.Run)


class Host:
    """What a guest's imports led to."""

    def __init__(self) -> None:
        self.asked: list[wire.Ask] = []
        self.printed = 0

    def output(self, output: wire.Output) -> None:
        assert output.channel in ("stdout", "stderr")
        self.printed += len(output.text.encode())

    def ask(self, ask: wire.Ask, patience_s: float) -> wire.Answer | None:
        assert patience_s <= LIMITS.wall_s
        self.asked.append(ask)
        return None if ask.name == "none" else wire.Answer(ask.name != "no", ask.arguments)


imports = st.lists(
    st.tuples(st.just("ask"), names | st.just("o.sleep") | st.just("none"), json_like)
    | st.tuples(st.just("emit"), st.sampled_from(["stdout", "stderr", "", "stdin"]), texts),
    max_size=12,
)


@settings(max_examples=120, deadline=None)
@given(steps=imports, reply=json_like | values.map(lambda value: json.dumps({"ok": value})))
def test_whatever_a_guest_does_with_its_imports_only_one_error_leaves_them(
    steps: list[tuple[str, str, str]], reply: str
) -> None:
    host = Host()
    meter = Meter(LIMITS, lambda: False, lambda: 0)
    call = Call(RUN, meter, Caller(host.output, host.ask, lambda: False))
    before = call.clock.monotonic_ns()
    for action, first, second in steps:
        try:
            call.ask(first, second) if action == "ask" else call.emit(first, second)
        except wasmtime.WasmtimeError:
            assert meter.stop is not None or action == "ask"
    assert len(host.asked) <= LIMITS.host_calls
    assert all(0 < len(ask.name) <= 100 for ask in host.asked)
    assert host.printed <= LIMITS.output_bytes
    assert call.clock.monotonic_ns() > before
    ended = Ended.from_reply(reply.encode("utf-8", "replace").decode(), meter)
    assert ended.reason in get_args(Reason)
    assert (ended.reason == "ok") <= (meter.stop is None)
    assert len(ended.error) < 20_000
