"""The module `o` inside a worker: how a guest calls the host."""

from __future__ import annotations

import json
from typing import Any, Final

from o_sandbox.worker import wire
from o_sandbox.worker.connection import Host
from o_sandbox.worker.console import Console
from o_sandbox.worker.verdict import Verdict

NAMESPACES: Final = ("agent", "archive", "http", "llm", "memory", "scratch", "secrets")
"""`o.http.fetch(…)` is `o.call("http.fetch", …)`."""


class HostError(Exception):
    """The host refused or could not do what it was asked."""


class Capabilities:
    """Host calls of one run, within its grants and its limit of calls."""

    def __init__(self, verdict: Verdict, start: wire.Start, console: Console, host: Host) -> None:
        """Call `host`; `console` is flushed before, so that output keeps its place."""
        self._verdict = verdict
        self._granted = frozenset(start.grants)
        self._left = self._limit = start.host_calls
        self._console = console
        self._host = host

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Call a capability by name.

        Raises:
            Ended: it is not granted, or the limit of calls is reached.
            HostError: the host refused or failed.
        """
        if name not in self._granted:
            self._ask(name, {})  # so that the host records it
            self._verdict.end("denied", denial(name))
        if self._left <= 0:
            self._verdict.end("denied", f"the tool called the host more than {self._limit} times")
        self._left -= 1
        answer = self._ask(name, arguments)
        if answer.error:
            raise HostError(answer.error)
        return json.loads(answer.value)

    def sleep(self, seconds: float, /) -> None:
        """Wait, if `o.sleep` is granted."""
        self.call("o.sleep", seconds=seconds)

    def _ask(self, name: str, arguments: dict[str, Any]) -> wire.Answer:
        self._console.flush()
        self._host.send(wire.Call(str(name), json.dumps(arguments).encode()))
        answer = self._host.receive()
        if not isinstance(answer, wire.Answer):
            raise RuntimeError("the host sent something else than the answer to a call")
        return answer


class Namespace:
    """`o.memory` and its like."""

    __slots__ = ("_capabilities", "_name")

    def __init__(self, name: str, capabilities: Capabilities) -> None:
        """Calls whose names begin with `name` and a dot."""
        self._name = name
        self._capabilities = capabilities

    def __getattr__(self, name: str) -> Any:
        """The call of that name.

        Raises:
            AttributeError: a name with a leading underscore.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        capabilities, full = self._capabilities, f"{self._name}.{name}"
        return lambda **arguments: capabilities.call(full, **arguments)


def offered(capabilities: Capabilities) -> dict[str, Any]:
    """The names of the module `o`."""
    spaces = {name: Namespace(name, capabilities) for name in NAMESPACES}
    return {
        "call": capabilities.call,
        "sleep": capabilities.sleep,
        "HostError": HostError,
        **spaces,
    }


def denial(name: str) -> str:
    """What is said to a tool that has no grant."""
    return f"the tool called `{name}` and has no grant for it; grant `{name}` to allow it"
