"""The one protocol of all tiers.

A sandbox runs a tool's function with JSON arguments within limits, and lets it call what it was
granted, nothing else. Whatever the guest does ends in an `Outcome`; an exception means that the
host failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, Protocol

from o_sandbox.circumstances import Circumstances
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.tool import Tool

Channel = Literal["stdout", "stderr"]
OnOutput = Callable[[Channel, str], None]
"""Called with each piece of output while the tool runs; must not block."""
HostFunction = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""One capability: takes the guest's keyword arguments, returns something JSON-ready. What it raises
as `HostCallError` is shown to the guest; anything else is the host's failure."""
Grants = Mapping[str, HostFunction]
"""What a tool may call, by name (`http.fetch`, `secrets.use`, `memory.insert`, `o.sleep`, …)."""


SCRATCH: Final = "scratch"
"""The grant of a scratch folder. The sandbox gives it itself: the function is never called."""


class SandboxError(Exception):
    """The host could not run a tool: not the guest's fault, and no outcome of its call."""


class SandboxUnavailableError(SandboxError):
    """This machine lacks what a tier needs; the message says what, and what to do."""


class HostCallError(Exception):
    """A capability refuses or fails; its text is for the guest to read."""


class Sandbox(Protocol):
    """Runs tools of one tier.

    Raises:
        SandboxUnavailableError: from `start`, when the machine lacks what the tier needs.
        SandboxError: from `run`, when the host failed (the engine died twice, a full disk).
    """

    async def start(self) -> None:
        """Make ready: engines, pools, workers."""

    async def run(
        self,
        tool: Tool,
        args: Mapping[str, Any],
        limits: Limits,
        grants: Grants,
        *,
        on_output: OnOutput | None = None,
        circumstances: Circumstances | None = None,
    ) -> Outcome:
        """Call the tool's function once, in a guest that nobody used before it.

        `circumstances` are chance and time for it; None for fresh ones.
        """

    async def close(self) -> None:
        """End everything that `start` and `run` began."""
