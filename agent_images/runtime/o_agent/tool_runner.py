"""Runs the genome's own tools; the seam where a stronger sandbox goes.

For now the container is the boundary: a tool runs in the worker, on a thread of its own (or on the
event loop, if it is async), with no network, no secret and no file but the image's. A tool that
does not return in time leaves its thread behind; when `MAX_STUCK` of them have, the worker ends
itself and PID 1 promotes the spare, which costs no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from o_agent.sdk import Tool
from o_contracts.messages import ToolCall, ToolReturn

MAX_STUCK: Final = 4
STUCK_EXIT: Final = 70
"""Exit code of a worker that gave up on its stuck tools (EX_SOFTWARE)."""

_log = logging.getLogger("o_agent.tools")


class _Outcome(NamedTuple):
    text: str
    error: str | None = None


class ToolRunner:
    """Runs tools by name."""

    def __init__(self, tools: Mapping[str, Tool], timeout_s: float) -> None:
        """`timeout_s` bounds each call."""
        self._tools = tools
        self._timeout_s = timeout_s
        self._stuck = 0

    async def run(self, call: ToolCall) -> ToolReturn:
        """Run a tool; whatever goes wrong in it is an error return for the model to read."""
        tool = self._tools[call.name]
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=tool.arguments_type)
        except (msgspec.MsgspecError, UnicodeError) as error:
            return failed(call, f"the arguments do not fit: {error}")
        given = msgspec.structs.asdict(arguments)
        if inspect.iscoroutinefunction(tool.function):
            outcome = await self._on_loop(tool, given)
        else:
            outcome = await self._on_thread(tool, given)
        if outcome.error is not None:
            return failed(call, outcome.error)
        return ToolReturn(call.tool_call_id, "success", outcome.text)

    async def _on_loop(self, tool: Tool, arguments: dict[str, Any]) -> _Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                return _Outcome(_text(await tool.function(**arguments)))
        except TimeoutError:
            return self._late()
        except Exception as error:  # noqa: BLE001 - the edge to foreign code; the model reads it
            return _Outcome("", f"{type(error).__name__}: {error}")

    async def _on_thread(self, tool: Tool, arguments: dict[str, Any]) -> _Outcome:
        result = _start_thread(tool, arguments)
        try:
            done, _ = await asyncio.wait([result], timeout=self._timeout_s)
        except asyncio.CancelledError:
            self._abandon(tool, result)
            raise
        if done:
            return result.result()
        self._abandon(tool, result)
        return self._late()

    def _late(self) -> _Outcome:
        return _Outcome("", f"no result within {self._timeout_s:g} s")

    def _abandon(self, tool: Tool, result: asyncio.Future[_Outcome]) -> None:
        self._stuck += 1
        result.add_done_callback(self._note_return)
        _log.warning("tool %s does not return; its thread is left behind", tool.name)
        if self._stuck >= MAX_STUCK:
            _log.critical("%d tool calls never returned; this worker ends itself", self._stuck)
            os._exit(STUCK_EXIT)

    def _note_return(self, _: asyncio.Future[_Outcome]) -> None:
        self._stuck -= 1


def failed(call: ToolCall, reason: str) -> ToolReturn:
    """An error return for a call."""
    return ToolReturn(call.tool_call_id, "error", _text(f"Error in {call.name}: {reason}"))


def _start_thread(tool: Tool, arguments: dict[str, Any]) -> asyncio.Future[_Outcome]:
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_Outcome] = loop.create_future()

    def deliver(outcome: _Outcome) -> None:
        if not result.done():
            result.set_result(outcome)

    def body() -> None:
        outcome = _outcome(tool, arguments)
        with contextlib.suppress(RuntimeError):  # the worker ended meanwhile
            loop.call_soon_threadsafe(deliver, outcome)

    threading.Thread(target=body, name=f"tool-{tool.name}", daemon=True).start()
    return result


def _outcome(tool: Tool, arguments: dict[str, Any]) -> _Outcome:
    try:
        return _Outcome(_text(tool.function(**arguments)))
    except SystemExit as error:
        return _Outcome("", f"the tool tried to exit ({error.code})")
    except Exception as error:  # noqa: BLE001 - the edge to foreign code; the model reads it
        return _Outcome("", f"{type(error).__name__}: {error}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # half a surrogate pair cannot be sent
    return msgspec.json.encode(value, enc_hook=str).decode()
