"""Runs tools of the genome and of the agent, in the sandboxes of this instance.

A tool's arguments are checked against its schema, then it runs in the tier it names, within limits
and grants. What it asks of the host goes over the bridge (`HostCalls`), which decides; only waiting
is done here. Whatever goes wrong in a tool is an error return for the model to read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec

from o_agent.bridge_client import BridgeError, ConnectionLost
from o_agent.sdk import Tool
from o_contracts.messages import ToolCall, ToolCode, ToolReturn
from o_sandbox.authoring import Definition, ToolDefinitionError, describe_function
from o_sandbox.circumstances import Circumstances
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import SCRATCH, Grants, HostCallError, Sandbox, SandboxError
from o_sandbox.tool import Tool as SandboxTool
from o_sandbox.tool import code_of

MAX_LINES: Final = 200
"""Lines of standard output or error that are kept with a return."""
SLEEP: Final = "o.sleep"
OUTSIDE: Final = frozenset({"http.fetch", "llm.complete"})
"""Grants of what happens outside the platform."""
_log = logging.getLogger("o_agent.tools")


class HostCalls(Protocol):
    """The way to the platform of one turn."""

    def __call__(self, tool: str, name: str, arguments: Mapping[str, Any]) -> Awaitable[Any]:
        """Use the capability `name` for a tool.

        Raises:
            HostCallError: it was refused, or failed.
        """

    async def circumstances(self, tool: str) -> Circumstances | None:
        """Chance and time for the tool, the same in every attempt of the turn; None for fresh."""


@dataclass(frozen=True, slots=True)
class Runnable:
    """What there is to run for one tool's name. `check` gives the arguments of a call, checked."""

    code: SandboxTool
    grants: tuple[str, ...]
    check: Callable[[str], dict[str, Any]]
    return_chars: int = 0

    @classmethod
    def of_genome(cls, tool: Tool) -> Runnable:
        """A tool of the genome."""
        return cls(tool.code, tool.definition.grants, tool.definition.checked)

    @classmethod
    def of_agent(cls, name: str, code: ToolCode) -> Runnable:
        """A tool that was added to the agent."""
        source = code_of(code.source, code.language)
        tool = SandboxTool(name, source, code.entry, code.language, code.tier)
        check = _checker(code.source, name) if code.language == "python" else _decoded
        return cls(tool, tuple(code.grants), check, code.return_chars)


class Ran(msgspec.Struct, frozen=True):
    """A tool's return, and how long it was in its sandbox."""

    result: ToolReturn
    sandbox_us: int = 0


class ToolRunner:
    """Runs tools in the sandboxes of this worker."""

    def __init__(self, sandbox: Sandbox, timeout_s: float) -> None:
        """`timeout_s` bounds each call, in wall time and in CPU time."""
        self._sandbox = sandbox
        self._limits = Limits(wall_s=timeout_s, cpu_s=timeout_s)

    async def run(self, call: ToolCall, runnable: Runnable, host: HostCalls) -> Ran:
        """Run a tool once."""
        try:
            arguments = runnable.check(call.arguments or "{}")
        except (msgspec.MsgspecError, UnicodeError) as error:
            return Ran(failed(call, f"the arguments do not fit: {error}"))
        started = time.perf_counter_ns()
        try:
            circumstances = await _circumstances(call.name, runnable, host)
            outcome = await self._sandbox.run(
                runnable.code,
                arguments,
                self._limits,
                _grants(call.name, runnable, host),
                circumstances=circumstances,
            )
        except (SandboxError, ValueError) as error:
            if isinstance(error.__cause__, ConnectionLost | BridgeError):
                raise error.__cause__ from None  # the turn starts again, or ends
            _log.error("the tool %s could not be run: %s", call.name, error)
            return Ran(failed(call, f"it could not be run: {error}"))
        took_us = (time.perf_counter_ns() - started) // 1000
        return Ran(_returned(call, outcome, runnable.return_chars), took_us)


def failed(call: ToolCall, reason: str) -> ToolReturn:
    """An error return for a call."""
    return ToolReturn(call.tool_call_id, "error", _text(f"Error in {call.name}: {reason}"))


def _returned(call: ToolCall, outcome: Outcome, return_chars: int) -> ToolReturn:
    if outcome.is_ok:
        text = _text(outcome.value)
        if return_chars and len(text) > return_chars:
            text = f"{text[:return_chars]}\n[{len(text) - return_chars} more characters not shown]"
        result = ToolReturn(call.tool_call_id, "success", text)
    else:
        result = failed(call, outcome.error or outcome.reason)
    if not outcome.stdout and not outcome.stderr:
        return result
    return msgspec.structs.replace(
        result, stdout=_lines(outcome.stdout), stderr=_lines(outcome.stderr)
    )


async def _circumstances(tool: str, runnable: Runnable, host: HostCalls) -> Circumstances | None:
    """A tool that reaches outside must ask the same again, or its effect would happen twice."""
    reaches = any(grant.partition(":")[0] in OUTSIDE for grant in runnable.grants)
    return await host.circumstances(tool) if reaches else None


def _grants(tool: str, runnable: Runnable, host: HostCalls) -> Grants:
    grants: dict[str, Any] = {}
    for grant in runnable.grants:
        name = grant.partition(":")[0]
        if name == SLEEP:
            grants[name] = _sleep
        elif name == SCRATCH:
            grants[name] = _nothing
        else:
            grants[name] = _asked(tool, name, host)
    return grants


def _asked(tool: str, name: str, host: HostCalls) -> Callable[[Mapping[str, Any]], Awaitable[Any]]:
    async def ask(arguments: Mapping[str, Any]) -> Any:
        return await host(tool, name, arguments)

    return ask


async def _sleep(arguments: Mapping[str, Any]) -> None:
    seconds = arguments.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise HostCallError(f"o.sleep takes seconds from 0 on, not {seconds!r}")
    await asyncio.sleep(seconds)


async def _nothing(_: Mapping[str, Any]) -> None:
    """A folder is given by the sandbox; there is nothing to call."""


@lru_cache(maxsize=256)
def _checker(source: str, name: str) -> Callable[[str], dict[str, Any]]:
    """How arguments of an agent's tool are checked: by its hints, if they can be read."""
    try:
        definition: Definition = describe_function(source, name, needs_text=False)
    except ToolDefinitionError:
        return _decoded  # it came with a schema of its own
    return definition.checked


def _decoded(arguments: str) -> dict[str, Any]:
    return msgspec.json.decode(arguments, type=dict[str, Any])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # half a surrogate pair cannot be sent
    return msgspec.json.encode(value, enc_hook=str).decode()


def _lines(text: str) -> list[str]:
    return text.splitlines()[:MAX_LINES]
