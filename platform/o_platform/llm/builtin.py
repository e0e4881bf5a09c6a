"""The models that need no network: `o/echo` and `o/scripted`; they run inside the bridge.

`o/echo` answers `echo: ` and the last user text, at once. `o/scripted` plays a YAML script (format:
see `o_platform.llm.script`), which is read again when its file changes; a change that cannot be
read is logged and the script in force stays.

Tokens are counted by `o_platform.llm.tokens`. Both models are free, so no budget knows them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from string import Template
from typing import Any, Final

from o_contracts.frames import ErrorBody
from o_contracts.llm import LlmDelta, LlmRequest, LlmResult, ToolCallDelta
from o_contracts.messages import ToolCall, Usage
from o_platform.errors import LlmBadRequestError, OError
from o_platform.llm.failures import llm_error
from o_platform.llm.script import Match, Script, load_script
from o_platform.llm.tokens import count_prompt_tokens, count_tokens, estimate_usage, text_of

ECHO: Final = "o/echo"
SCRIPTED: Final = "o/scripted"
BUILTIN_MODELS: Final = (ECHO, SCRIPTED)
DEFAULT_SCRIPT: Final = Path(__file__).parent / "scripts" / "default.yaml"

_PREFIX: Final = "o/"
_WORD = re.compile(r"\s*\S+|\s+")
_log = logging.getLogger(__name__)


def is_builtin(handle: str) -> bool:
    """Whether `handle` names a model of this process (any `o/…`, known or not)."""
    return handle.startswith(_PREFIX)


class BuiltinModels:
    """Answers requests to the built-in models. Not thread-safe; one per event loop."""

    def __init__(self, script_path: Path | None = None) -> None:
        """`script_path` is the script of `o/scripted`; absent: the one in this package.

        Raises:
            SetupError: the script cannot be read; the message names the place and the remedy.
        """
        self._path = script_path or DEFAULT_SCRIPT
        self._stamp = _stamp(self._path)
        self._script = load_script(self._path)

    def complete_now(self, request: LlmRequest) -> LlmResult | None:
        """The whole reply, if it takes no time; None if it must be waited for (`complete`).

        Raises:
            LlmError: the script says that this call fails, or has no rule for it.
            LlmBadRequestError: no such built-in model.
        """
        if request.model == ECHO:
            return echo(request)
        script = self._current_script(request)
        match = script.match(request)
        if match.reply.takes_time:
            return None
        script.spend(match, request)
        return play(match, request)

    async def complete(self, request: LlmRequest) -> AsyncGenerator[LlmDelta | LlmResult, None]:
        """The reply as it is made: deltas of one word each when `request.stream`, then the result.

        Raises:
            LlmError: the script says that this call fails, or has no rule for it.
            LlmBadRequestError: no such built-in model.
        """
        if request.model == ECHO:
            result, gap_s = echo(request), 0.0
        else:
            script = self._current_script(request)
            match = script.match(request)
            script.spend(match, request)
            due = time.monotonic() + match.reply.delay_ms / 1000
            try:
                result, gap_s = play(match, request), match.reply.gap_ms / 1000
            finally:
                # What the reply takes to make is part of its delay.
                await asyncio.sleep(due - time.monotonic())
        for delta in deltas_of(result) if request.stream else ():
            yield delta
            if gap_s:
                await asyncio.sleep(gap_s)
        yield result

    def _current_script(self, request: LlmRequest) -> Script:
        if request.model != SCRIPTED:
            raise LlmBadRequestError(
                f"there is no built-in model `{request.model}`; use one of "
                f"{', '.join(BUILTIN_MODELS)}",
                model=request.model,
            )
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            self._reload()
        return self._script

    def _reload(self) -> None:
        try:
            self._script = load_script(self._path)
        except OError as error:
            _log.error("script not taken over, the one in force stays: %s", error.message)
        else:
            _log.info("script read again", extra={"path": str(self._path)})


def echo(request: LlmRequest) -> LlmResult:
    """The reply of `o/echo`: `echo: ` and the text of the last user message."""
    text = "echo: "
    for message in reversed(request.messages):
        if message.role == "user":
            text += text_of(message)
            break
    return LlmResult(
        text=text,
        usage=Usage(
            prompt_tokens=count_prompt_tokens(request), completion_tokens=count_tokens(text)
        ),
        model=ECHO,
    )


def play(match: Match, request: LlmRequest) -> LlmResult:
    """The reply that a script's match stands for, with its templates filled in.

    Raises:
        LlmError: the script says that this call fails.
    """
    reply = match.reply
    if reply.error is not None:
        raise llm_error(ErrorBody(reply.error.code, reply.error.message))
    calls = tuple(_tool_call(match, request, index) for index in range(len(reply.tool_calls)))
    text, reasoning = _fill(reply.text, match.values), _fill(reply.reasoning, match.values)
    counted = estimate_usage(request, text=text, reasoning=reasoning, tool_calls=calls)
    return LlmResult(
        text=text,
        reasoning=reasoning,
        tool_calls=list(calls),
        finish_reason=reply.finish_reason or ("tool_calls" if calls else "stop"),
        usage=reply.usage.usage() if reply.usage else counted,
        model=SCRIPTED,
    )


def deltas_of(result: LlmResult) -> Iterator[LlmDelta]:
    """The result in small pieces: reasoning and text by words, then each tool call by words."""
    for word in _WORD.findall(result.reasoning):
        yield LlmDelta(reasoning=word)
    for word in _WORD.findall(result.text):
        yield LlmDelta(text=word)
    for index, call in enumerate(result.tool_calls):
        first = ToolCallDelta(index=index, tool_call_id=call.tool_call_id, name=call.name)
        yield LlmDelta(tool_calls=[first])
        for word in _WORD.findall(call.arguments):
            yield LlmDelta(tool_calls=[ToolCallDelta(index=index, arguments=word)])


def _tool_call(match: Match, request: LlmRequest, index: int) -> ToolCall:
    call = match.reply.tool_calls[index]
    # The same for a repeated call, another for every other: ids stay unique within an agent.
    source = (
        f"{request.run_id}/{request.seq}/{len(request.messages)}/{match.values['user']}/{index}"
    )
    digest = hashlib.blake2b(source.encode(), digest_size=12).hexdigest()
    arguments = _fill(call.arguments, match.values)
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(f"call_{digest}", call.name, arguments)


def _fill(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, str):
        return Template(value).substitute(values)
    if isinstance(value, dict):
        return {key: _fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    return value


def _stamp(path: Path) -> tuple[int, int]:
    """Changes when the file does; (0, 0) when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
