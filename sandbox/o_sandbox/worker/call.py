"""One call from the host's side: answers what the guest asks for, keeps account, tells the end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

import msgspec

from o_sandbox.limits import Limits
from o_sandbox.outcome import HostCall, Outcome, Reason, Used
from o_sandbox.protocol import Grants, HostCallError, OnOutput, SandboxError
from o_sandbox.tool import Tool, arguments_text
from o_sandbox.worker import wire
from o_sandbox.worker.capabilities import denial

_encode: Final = json.JSONEncoder().encode
_decode: Final = json.JSONDecoder().raw_decode
_MAX_NAME: Final = 200
_MAX_DETAIL: Final = 1000


class DeniedError(Exception):
    """The guest went on calling after a call of its was denied, which ends it."""


class Peer(Protocol):
    """A worker as a call needs it."""

    def send(self, message: wire.ToWorker) -> None:
        """Send one message."""

    async def receive(self) -> wire.FromWorker:
        """The next message."""

    def cpu_s(self) -> float:
        """CPU seconds of the process so far."""

    def grown_bytes(self) -> int:
        """Resident memory above what it had at its start."""


class Call:
    """From the request to the outcome.

    Grants and counts are checked here again: a guest that broke out of its interpreter can say
    anything.
    """

    def __init__(
        self, peer: Peer, limits: Limits, grants: Grants, on_output: OnOutput | None
    ) -> None:
        """Nothing was sent yet."""
        self._peer = peer
        self._limits = limits
        self._grants = grants
        self._on_output = on_output
        self._printed: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._printed_bytes = 0
        self._calls: list[HostCall] = []
        self._denial: str | None = None
        self._started = time.perf_counter()
        self.deadline = asyncio.get_running_loop().time() + limits.wall_s
        self._cpu_before_s = peer.cpu_s()

    def cpu_s(self) -> float:
        """CPU seconds of the worker since the call began."""
        return max(0.0, self._peer.cpu_s() - self._cpu_before_s)

    async def play(self, request: wire.Start) -> Outcome:
        """Talk with the worker until the call is done.

        Raises:
            TimeoutError: its wall time is over.
            ValueError: the worker says what it may not.
            DeniedError: it calls on after it was denied a call.
            SandboxError: a host function failed.
        """
        self._peer.send(request)
        while True:
            message = await self._peer.receive()
            if isinstance(message, wire.Done):
                return self._outcome(message)
            if isinstance(message, wire.Call):
                self._peer.send(await self._answer(message))
            elif isinstance(message, wire.Output):
                self._print(message)
            else:
                raise ValueError(f"{type(message).__name__} during a call")

    def ended(self, reason: Reason, error: str, value: Any = None, size: int = 0) -> Outcome:
        """The outcome, when it is not the worker that says it."""
        used = Used(
            wall_s=time.perf_counter() - self._started,
            cpu_s=self.cpu_s(),
            memory_bytes=self._peer.grown_bytes(),
            output_bytes=self._printed_bytes + size,
            host_calls=len(self._calls),
        )
        printed = {channel: "".join(pieces) for channel, pieces in self._printed.items()}
        return Outcome(
            reason, value, error, printed["stdout"], printed["stderr"], used, self._calls
        )

    def _outcome(self, done: wire.Done) -> Outcome:
        if self._denial is not None:
            return self.ended("denied", self._denial)
        if done.reason != "ok":
            return self.ended(done.reason, done.error)
        text = done.value.decode()
        value, end = _decode(text)
        if end != len(text):
            raise ValueError("more than one value")
        return self.ended("ok", done.error, value, len(done.value))

    def _print(self, output: wire.Output) -> None:
        if not output.text:
            raise ValueError("output of no bytes, which no limit would end")
        self._printed_bytes += len(output.text.encode())
        if self._printed_bytes > self._limits.output_bytes:
            raise ValueError("more output than the limit")
        self._printed[output.channel].append(output.text)
        if self._on_output is not None:
            self._on_output(output.channel, output.text)

    async def _answer(self, call: wire.Call) -> wire.Answer:
        if self._denial is not None:
            raise DeniedError(self._denial)
        function = self._grants.get(call.name)
        started = time.perf_counter()
        if function is None:
            return self._denied(call.name, started, denial(call.name[:_MAX_NAME]))
        if len(self._calls) >= self._limits.host_calls:
            most = self._limits.host_calls
            said = f"the tool called the host more than {most} times"
            return self._denied(call.name, started, said)
        arguments = msgspec.json.decode(call.arguments, type=dict[str, Any])
        try:
            async with asyncio.timeout_at(self.deadline) as wall:
                value = _json(await function(arguments))
        except HostCallError as error:
            return self._record(call.name, "error", started, str(error) or "it failed")
        except (SandboxError, asyncio.CancelledError):
            raise
        except Exception as error:
            if wall.expired():
                self._record(call.name, "error", started, "it did not end in time")
                raise
            raise SandboxError(f"the host function {call.name!r} failed: {error!r}") from error
        self._record(call.name, "ok", started, "")
        return wire.Answer(value)

    def _denied(self, name: str, started: float, detail: str) -> wire.Answer:
        self._denial = detail
        return self._record(name, "denied", started, detail)

    def _record(
        self, name: str, outcome: Literal["ok", "error", "denied"], started: float, detail: str
    ) -> wire.Answer:
        wall_s = time.perf_counter() - started
        self._calls.append(HostCall(name[:_MAX_NAME], outcome, wall_s, detail[:_MAX_DETAIL]))
        return wire.Answer(error=detail)


def _json(value: Any) -> bytes:
    """A host function's value on its way to the guest, who may have sent most of it.

    Raises:
        HostCallError: it is nested too deeply to be sent.
        TypeError, ValueError: it is not JSON-ready.
    """
    try:
        return _encode(value).encode()
    except RecursionError:
        raise HostCallError("the answer is nested too deeply to be sent") from None


def request(
    tool: Tool, args: Mapping[str, Any], limits: Limits, grants: Grants, seed: int
) -> wire.Start:
    """What a worker is sent.

    Raises:
        ValueError: the tool is not Python source, it is too long, or `args` are not JSON-ready.
    """
    if tool.language != "python" or not isinstance(tool.code, str):
        raise ValueError(f"the tier `{tool.tier}` runs Python source, not {tool.language}")
    given = arguments_text(args).encode()
    if len(tool.code) + len(given) > wire.MAX_REQUEST_BYTES:
        raise ValueError(f"source and arguments are over {wire.MAX_REQUEST_BYTES} bytes")
    return wire.Start(
        code=tool.code,
        entry=tool.entry,
        args=given,
        seed=seed,
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_bytes,
        output_bytes=limits.output_bytes,
        host_calls=limits.host_calls,
        grants=sorted(grants),
    )
