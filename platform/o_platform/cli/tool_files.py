"""Tools in files, run in sandboxes of this process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from o_platform.cli.terminal import done, failed, print_json, say, warn
from o_platform.errors import BadInputError, OError, SetupError
from o_platform.tooling.fetch import Fetcher
from o_platform.tooling.grants import FETCH, SECRET, named, unknown_grants
from o_platform.tooling.local import LOCAL_GRANTS, local_grants
from o_sandbox import recording as recordings
from o_sandbox.authoring import Definition, ToolDefinitionError, describe, describe_function
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import Channel, SandboxError
from o_sandbox.recording import Recording, RecordingError
from o_sandbox.tiers import local_tiers
from o_sandbox.tool import Language, Tier, Tool

_DETAILS: Final = {FETCH: "DOMAIN", SECRET: "NAME"}
"""What follows the name of a grant."""
_LANGUAGES: Final[Mapping[str, Language]] = {
    ".py": "python", ".js": "javascript", ".wat": "wat", ".wasm": "wasm",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What `o tool run` was told."""

    file: Path
    name: str
    args: str
    tier: str | None
    language: str | None
    grants: tuple[str, ...]
    wall_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class _Call:
    tool: Tool
    args: dict[str, Any]
    grants: list[str]


def checked(file: Path) -> list[Definition]:
    """What a file's tools are.

    Raises:
        BadInputError: one cannot be a tool; says the line.
    """
    source = _read(file).decode(errors="replace")
    try:
        found = describe(source)
    except ToolDefinitionError as error:
        raise _wrong(file, error) from None
    if not found:
        raise BadInputError(f"{file}: there is no function that could be a tool")
    return found


def run(request: Request) -> Recording:
    """Run a tool once, and show what it prints, returns and used.

    Raises:
        BadInputError: the file, the arguments or the grants are not usable.
        SetupError: this machine cannot run it.
    """
    call = _call(request)
    limits = Limits(wall_s=request.wall_s, cpu_s=request.wall_s, memory_bytes=request.memory_bytes)
    made = asyncio.run(_recorded(call, limits))
    _show(made.outcome)
    return made


def replay(file: Path) -> bool:
    """Run a recorded call again; whether it came to the same.

    Raises:
        BadInputError: the file is no recording.
    """
    try:
        recording = Recording.from_json(_read(file))
        again = asyncio.run(_replayed(recording))
    except (RecordingError, recordings.ReplayDivergedError) as error:
        raise BadInputError(f"{file}: {error}") from None
    except SandboxError as error:
        raise SetupError(str(error)) from error
    _show(again)
    differing = recordings.differences(recording.outcome, again)
    if differing:
        warn(f"not the same as recorded: {', '.join(differing)}")
    else:
        say("the same as recorded")
    return not differing


async def _recorded(call: _Call, limits: Limits) -> Recording:
    grants = local_grants(call.grants, _secrets(call.grants), Fetcher())
    tiers = local_tiers(restricted_workers=1)
    try:
        return await recordings.record(
            tiers, call.tool, call.args, limits, grants, on_output=_print
        )
    except (SandboxError, ValueError) as error:
        raise SetupError(str(error)) from error
    finally:
        await tiers.close()


async def _replayed(recording: Recording) -> Outcome:
    tiers = local_tiers(restricted_workers=1)
    try:
        return await recordings.replay(tiers, recording)
    finally:
        await tiers.close()


def _call(request: Request) -> _Call:
    code = _read(request.file)
    language = _language(request)
    given = _object(request.args)
    if language != "python":
        if not request.name:
            raise BadInputError("say which function to call: `o tool run FILE NAME`")
        grants = _granted(request, ())
        tool = Tool(request.name, _code(code, language), request.name, language, "module")
        return _Call(tool, given, grants)
    source = code.decode(errors="replace")
    try:
        definition = describe_function(source, request.name, needs_text=False)
    except ToolDefinitionError as error:
        raise _wrong(request.file, error) from None
    tier = _tier(request.tier or definition.tier or "wasm")
    tool = Tool(definition.name, definition.code(source), definition.entry, tier=tier)
    try:
        arguments = definition.checked(msgspec.json.encode(given))
    except msgspec.MsgspecError as error:
        raise BadInputError(f"--args do not fit {definition.name}: {error}") from None
    return _Call(tool, arguments, _granted(request, (*definition.grants, *definition.needs)))


def _language(request: Request) -> Language:
    found = _LANGUAGES.get(request.file.suffix)
    if request.language == "component" and found in ("wat", "wasm"):
        return "component"
    if found is None or request.language not in (None, found):
        known = ", ".join(_LANGUAGES)
        raise BadInputError(
            f"{request.file}: a tool's file ends in {known}; --language is for `component`"
        )
    return found


def _tier(name: str) -> Tier:
    try:
        tier: Tier = msgspec.convert(name, Tier)
    except msgspec.ValidationError:
        raise BadInputError(
            f"there is no tier {name!r}; there are wasm, module, restricted, container"
        ) from None
    return tier


def _granted(request: Request, own: tuple[str, ...]) -> list[str]:
    grants = [*own, *request.grants]
    if unknown := unknown_grants(grants):
        raise BadInputError(f"--grant {unknown[0]} means nothing; see `o tool run --help`")
    if away := sorted(named(grants) - LOCAL_GRANTS):
        raise BadInputError(
            f"`{away[0]}` is a capability of an agent and not to be had here; attach the tool to "
            "one and use `POST /v1/agents/ID/tools/NAME/run`, or send it a message"
        )
    return grants


def _secrets(grants: list[str]) -> dict[str, str]:
    names = [g.partition(":")[2] for g in grants if g.startswith("secrets.use:")]
    return {name: os.environ[name] for name in names if name in os.environ}


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadInputError(f"--args is no JSON object: {error}") from None


def _code(code: bytes, language: Language) -> str | bytes:
    is_binary = language == "wasm" or code.startswith(b"\0asm")
    return code if is_binary else code.decode(errors="replace")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInputError(f"{file} cannot be read: {error.strerror}") from None


def _wrong(file: Path, error: ToolDefinitionError) -> OError:
    return BadInputError(f"{file}: {error}")


def _print(channel: Channel, text: str) -> None:
    stream = sys.stderr if channel == "stderr" else sys.stdout
    stream.write(text)
    stream.flush()


def _show(outcome: Outcome) -> None:
    used = outcome.used
    cost = f"{used.cpu_s:.3f} s CPU, {used.host_calls} host calls"
    if outcome.is_ok:
        print_json(outcome.value)
        done(outcome.reason, used.wall_s, cost)
        return
    warn(f"{outcome.reason}: {outcome.error}")
    for name in sorted({call.name for call in outcome.calls if call.outcome == "denied"}):
        if name in LOCAL_GRANTS:
            say(f"  give it what it asks for with `--grant {_spelled(name)}`")
    failed(outcome.reason, f"{used.wall_s:.1f} s   {cost}")


def _spelled(name: str) -> str:
    """A grant as an option takes it."""
    return f"{name}:{_DETAILS[name]}" if name in _DETAILS else name
