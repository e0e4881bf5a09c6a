"""Calls that were recorded, and run again without their host: nothing outside happens twice.

A recording holds the tool, its arguments, chance and time, and what the host answered to each call.
In the tiers `wasm` and `module` a replay gives the same bytes, since nothing else reaches a guest;
in the others it gives the same as far as the tool depends on nothing else, such as a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from o_sandbox.circumstances import Circumstances
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import (
    Grants,
    HostCallError,
    HostFunction,
    OnOutput,
    Sandbox,
    SandboxError,
)
from o_sandbox.tool import Language, Tier, Tool

VERSION: Final = 1
_TEXT: Final = frozenset({"python", "javascript", "wat"})


class ReplayDivergedError(SandboxError):
    """A replayed tool asked its host for something else than the recorded one."""


class RecordingError(ValueError):
    """What was given is no recording; the message says why."""


class Exchange(Struct, frozen=True):
    """One call of the host: arguments and answer as JSON text; `error` instead if it failed."""

    name: str
    arguments: str
    answer: str = "null"
    error: str | None = None


class Recording(Struct, frozen=True):
    """Everything that a call depended on, and what it came to."""

    name: str
    language: Language
    tier: Tier
    function: str
    code: bytes
    arguments: str
    limits: Limits
    circumstances: Circumstances
    grants: list[str]
    exchanges: list[Exchange]
    outcome: Outcome
    version: int = VERSION

    @property
    def tool(self) -> Tool:
        """The tool that was called."""
        is_text = self.language in _TEXT
        code = self.code.decode() if is_text else self.code
        return Tool(self.name, code, self.function, self.language, self.tier)

    def to_json(self) -> bytes:
        """For a file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def from_json(cls, text: bytes) -> Recording:
        """Read what `to_json` wrote.

        Raises:
            RecordingError: it is something else, or of another version.
        """
        try:
            read = msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise RecordingError(f"this is no recording of a call: {error}") from None
        if read.version != VERSION:
            raise RecordingError(f"this recording has version {read.version}, not {VERSION}")
        return read


async def record(
    sandbox: Sandbox,
    tool: Tool,
    args: Mapping[str, Any],
    limits: Limits,
    grants: Grants,
    *,
    on_output: OnOutput | None = None,
) -> Recording:
    """Call a tool, and keep everything that it takes to call it so again.

    Raises:
        SandboxError: the host failed.
    """
    exchanges: list[Exchange] = []
    circumstances = Circumstances.fresh()
    kept = {name: _kept(name, function, exchanges) for name, function in grants.items()}
    outcome = await sandbox.run(
        tool, args, limits, kept, on_output=on_output, circumstances=circumstances
    )
    return Recording(
        name=tool.name,
        language=tool.language,
        tier=tool.tier,
        function=tool.entry,
        code=tool.code.encode() if isinstance(tool.code, str) else tool.code,
        arguments=_text(args),
        limits=limits,
        circumstances=circumstances,
        grants=sorted(grants),
        exchanges=exchanges,
        outcome=outcome,
    )


async def replay(sandbox: Sandbox, recording: Recording) -> Outcome:
    """Call the tool again; the recording answers what it asks.

    Raises:
        ReplayDivergedError: it asks for something else than it did.
        SandboxError: the host failed.
    """
    left = list(recording.exchanges)
    grants = {name: _played(name, left) for name in recording.grants}
    args = msgspec.json.decode(recording.arguments, type=dict[str, Any])
    outcome = await sandbox.run(
        recording.tool, args, recording.limits, grants, circumstances=recording.circumstances
    )
    if left:
        raise ReplayDivergedError(f"the tool did not call `{left[0].name}` again")
    return outcome


def differences(first: Outcome, second: Outcome) -> list[str]:
    """In which of the parts that a guest decides two outcomes differ."""
    parts = ("reason", "value", "error", "stdout", "stderr")
    return [part for part in parts if _part(first, part) != _part(second, part)]


def _kept(name: str, function: HostFunction, exchanges: list[Exchange]) -> HostFunction:
    async def call(arguments: Mapping[str, Any]) -> Any:
        asked = _text(arguments)
        try:
            value = await function(arguments)
        except HostCallError as error:
            exchanges.append(Exchange(name, asked, error=str(error)))
            raise
        exchanges.append(Exchange(name, asked, _text(value)))
        return value

    return call


def _played(name: str, left: list[Exchange]) -> HostFunction:
    async def call(arguments: Mapping[str, Any]) -> Any:
        expected = left.pop(0) if left else None
        if expected is None or (expected.name, expected.arguments) != (name, _text(arguments)):
            was = f"`{expected.name}` with {expected.arguments}" if expected else "nothing"
            raise ReplayDivergedError(
                f"the tool called `{name}` with {_text(arguments)}; recorded is {was}"
            )
        if expected.error is not None:
            raise HostCallError(expected.error)
        return msgspec.json.decode(expected.answer)

    return call


def _part(outcome: Outcome, name: str) -> bytes:
    return msgspec.json.encode(getattr(outcome, name))


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
