"""A host that does whatever its guest asks: the module `o` of the control run.

It folds names, knows no grants, counts nothing, and keeps what it should not within reach. What
payloads do to it shows that they do something; the sandboxes must not behave like it.
"""

from __future__ import annotations

import time
import types
from typing import Any, Final

_FOREVER_S: Final = 3600.0


class HostError(Exception):
    """The host could not do what it was asked."""


class NaiveHost:
    """Answers everything, except what waits or refuses by definition."""

    def __init__(self) -> None:
        """Leaves the fields within reach that guests look for."""
        self._granted: frozenset[str] = frozenset()
        self._left = 0
        self._verdict = types.SimpleNamespace(forced=None)
        self._console = types.SimpleNamespace(_limit=0)

    def call(self, capability: Any, /, **arguments: Any) -> Any:
        """Do it.

        Raises:
            HostError: it is the one that always refuses.
        """
        name = "".join(capability) if isinstance(capability, str) else ""
        if name == "attack.wait":
            time.sleep(_FOREVER_S)
        if name == "attack.refuse":
            raise HostError("no")
        for each in arguments.values():
            if isinstance(each, dict):
                dict(each.items())  # as an encoder would
        return arguments


class _Namespace:
    def __init__(self, host: NaiveHost, name: str) -> None:
        self._host, self._name = host, name

    def __getattr__(self, name: str) -> Any:
        return lambda **arguments: self._host.call(f"{self._name}.{name}", **arguments)


def module() -> types.ModuleType:
    """The module `o` for one payload."""
    host, made = NaiveHost(), types.ModuleType("o")
    names: dict[str, Any] = {"call": host.call, "HostError": HostError}
    for name in ("http", "llm", "memory", "secrets"):
        names[name] = _Namespace(host, name)
    names["sleep"] = lambda seconds, /: host.call("o.sleep", seconds=seconds)
    made.__dict__.update(names)
    return made
