"""One call of guest code inside a worker: its globals, what it prints, how it ends."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any, Final, Protocol

from o_sandbox.outcome import Reason
from o_sandbox.restricted import wire
from o_sandbox.restricted.facades import FACADES, Facade, random_facade
from o_sandbox.restricted.guards import GUARDS, guest_builtins, refuse_import
from o_sandbox.restricted.policy import FILE_NAME, Compiler, PolicyError

MAX_ERROR: Final = 8192
"""Characters of an error text."""
MAX_FRAMES: Final = 12
"""Calls of a traceback that are shown."""


class Host(Protocol):
    """The other end, as a guest's host calls need it."""

    def send(self, message: wire.FromWorker) -> None:
        """Send one message."""

    def receive(self) -> wire.ToWorker:
        """Wait for the next message."""


class HostError(Exception):
    """A capability refused or failed."""


class _Ended(BaseException):
    """The call is over. No guest can catch it, and a `finally` that returns cannot hide it."""


class _Console:
    """What `print` writes to, up to the limit."""

    def __init__(self, end: Callable[[Reason, str], None], start: wire.Start, host: Host) -> None:
        self._end = end
        self._limit = start.output_bytes
        self._host = host if start.stream else None
        self._pieces: list[str] = []
        self.size = 0

    def __call__(self, _getattr: Any = None) -> _Console:
        """The collector that rewritten code asks for in each function that prints."""
        return self

    def _call_print(
        self, *values: Any, sep: str | None = " ", end: str | None = "\n", **_: Any
    ) -> None:
        text = (" " if sep is None else sep).join(map(str, values))
        text += "\n" if end is None else end
        piece = text.encode(errors="replace")
        room = max(0, self._limit - self.size)
        self.size += len(piece)
        self._keep(piece[:room].decode(errors="ignore"))
        if len(piece) > room:
            self._end("output", f"the tool printed more than {self._limit} bytes")

    def _keep(self, text: str) -> None:
        self._pieces.append(text)
        if self._host is not None:
            self._host.send(wire.Output(text))

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._pieces)


class _Capabilities:
    """The module `o`: how a guest calls the host."""

    def __init__(self, end: Callable[[Reason, str], None], start: wire.Start, host: Host) -> None:
        self._end = end
        self._granted = frozenset(start.grants)
        self._left = self._limit = start.host_calls
        self._host = host

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Call a capability by name."""
        if name not in self._granted:
            self._ask(name, {})  # so that the host records it
            self._end("denied", f"the tool called {name!r} and has no grant for it")
        if self._left <= 0:
            self._end("denied", f"the tool called the host more than {self._limit} times")
        self._left -= 1
        answer = self._ask(name, arguments)
        if answer.error:
            raise HostError(answer.error)
        return json.loads(answer.value)

    def sleep(self, seconds: float) -> None:
        """Wait, if the grant `o.sleep` is there."""
        self.call("o.sleep", seconds=seconds)

    def facade(self) -> Facade:
        """As the guest sees it."""
        return Facade("o", {"call": self.call, "sleep": self.sleep, "HostError": HostError})

    def _ask(self, name: str, arguments: dict[str, Any]) -> wire.Answer:
        self._host.send(wire.Call(str(name), json.dumps(arguments).encode()))
        answer = self._host.receive()
        if not isinstance(answer, wire.Answer):
            raise RuntimeError("the host sent something else than the answer to a call")
        return answer


class Guest:
    """Runs calls, keeping compiled sources between them and nothing else."""

    def __init__(self, host: Host) -> None:
        """`host` answers what guests call."""
        self._host = host
        self._compiler = Compiler()

    def run(self, start: wire.Start) -> wire.Done:
        """Run one call to its end."""
        return _Run(self._host, start).done(self._compiler)


class _Run:
    def __init__(self, host: Host, start: wire.Start) -> None:
        self._start = start
        self._forced: tuple[Reason, str] | None = None
        self._console = _Console(self._end, start, host)
        self._capabilities = _Capabilities(self._end, start, host)

    def done(self, compiler: Compiler) -> wire.Done:
        """How the call ended; what was forced on it counts, whatever the guest made of that."""
        reason, value, error = self._attempt(compiler)
        if self._forced is not None:
            (reason, error), value = self._forced, b"null"
        return wire.Done(reason, value, error[:MAX_ERROR], self._console.text)

    def _attempt(self, compiler: Compiler) -> tuple[Reason, bytes, str]:
        try:
            value = self._value(compiler)
            self._check_size(value)
        except PolicyError as error:
            return "error", b"null", f"the tier `restricted` does not take this source: {error}"
        except MemoryError:
            limit = self._start.memory_bytes
            return "memory", b"null", f"the tool needed more than {limit} bytes of memory"
        except _Ended:
            return "error", b"null", ""
        except BaseException as error:  # noqa: BLE001 - whatever foreign code raises is its outcome
            return "error", b"null", _described(error, self._start.code)
        return "ok", value, ""

    def _value(self, compiler: Compiler) -> bytes:
        start = self._start
        names = {**GUARDS, "_print_": self._console, "__builtins__": guest_builtins(self._load)}
        exec(compiler.code_of(start.code), names)  # noqa: S102 - rewritten by the policy, in a jail
        function = names.get(start.entry)
        if not callable(function):
            raise NameError(f"the source defines no function {start.entry!r}")
        value = function(**_decode(start.args.decode()))
        return _encode(value).encode(errors="replace")

    def _load(self, name: str, *_: Any) -> Facade:
        """What `import name` and `from name import …` give."""
        if name == "o":
            return self._capabilities.facade()
        if name == "random":
            return random_facade(self._start.seed)
        if name not in FACADES:
            refuse_import(name, {*FACADES, "o", "random"})
        return FACADES[name]

    def _check_size(self, value: bytes) -> None:
        size = self._console.size + len(value)
        if size > self._start.output_bytes:
            limit = self._start.output_bytes
            self._end("output", f"output and result are {size} bytes, the limit is {limit}")

    def _end(self, reason: Reason, error: str) -> None:
        self._forced = self._forced or (reason, error)
        raise _Ended


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


_decode: Final = json.JSONDecoder().decode
_encode: Final = json.JSONEncoder(default=_plain, ensure_ascii=False, allow_nan=False).encode


def _described(error: BaseException, source: str) -> str:
    lines = ["", *source.splitlines()]
    frames = [
        f'  File "{FILE_NAME}", line {number}, in {frame.f_code.co_name}\n'
        f"    {lines[number].strip() if number < len(lines) else ''}"
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == FILE_NAME
    ]
    if len(frames) > MAX_FRAMES:
        left_out = f"  ... {len(frames) - MAX_FRAMES} more calls ..."
        frames = [frames[0], left_out, *frames[1 - MAX_FRAMES :]]
    said = ["Traceback (most recent call last):", *frames, f"{type(error).__name__}: {error}"]
    return "\n".join(said)
