"""The tool calls of one turn: checked against the rules, run, and their results shaped.

Where the rules allow several calls at once they run side by side. Calls on the bridge are sent in
the model's order, and the bridge makes memory edits as they come in, so that a later edit builds on
an earlier one; searches and the genome's tools overlap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import msgspec

from o_agent.approvals import Answers, Pending, denied, returned
from o_agent.hooks import ToolOutcome, apply_hook
from o_agent.host_calls import HostCalls
from o_agent.tool_rules import ANYTHING, Called, Offer
from o_agent.tool_runner import Ran, failed
from o_agent.toolbox import Toolbox
from o_agent.turn_frame import TurnFrame
from o_contracts import bridge
from o_contracts.frames import Empty
from o_contracts.messages import Block, ToolCall, ToolReturn

WATCH_AFTER_S: Final = 0.02
"""A tool that takes longer is run with an eye on whether the turn is cancelled."""
_empty_decoder: Final = msgspec.msgpack.Decoder(Empty)
_tool_decoder: Final = msgspec.msgpack.Decoder(bridge.ToolCallResult)
_arguments_decoder: Final = msgspec.json.Decoder(dict)


class ToolCalls:
    """Runs the calls of one turn; `called` are those that were run, `blocks` what they changed."""

    __slots__ = (
        "_client_tools", "_frame", "_ran", "_seq", "_toolbox",
        "blocks", "called", "offer", "owes", "removed", "sandbox_us",
    )  # fmt: skip

    def __init__(self, frame: TurnFrame, toolbox: Toolbox, called: Sequence[Called]) -> None:
        """`called` are the calls of the turn that this one goes on with."""
        self._frame = frame
        self._toolbox = toolbox
        self._client_tools = frozenset(tool.name for tool in frame.client_tools)
        self._seq = 0
        self._ran = 0
        self.sandbox_us = 0
        """Time that the calls so far spent in sandboxes."""
        self.called = list(called)
        self.blocks: list[Block] = []
        self.removed: set[str] = set()
        """Ids of blocks that the agent has no more."""
        self.offer = ANYTHING
        self.owes = False
        """The model wanted to end before it had called every required tool."""

    def next_offer(self) -> Offer:
        """What the model may call in the next step."""
        rules = self._toolbox.rules
        if rules.allow_parallel:
            return ANYTHING
        names = self._toolbox.homes.keys() | self._client_tools
        self.offer = rules.offer(names, self.called, owes=self.owes)
        return self.offer

    def prepared(self, calls: list[ToolCall]) -> list[ToolCall]:
        """The calls with the arguments that the rules give."""
        if self._toolbox.rules.allow_parallel:
            return calls
        return [self._with_given_arguments(call) for call in calls]

    def gated(self, calls: Sequence[ToolCall]) -> list[ToolCall]:
        """Those of the calls that the client must answer first."""
        gates = self._toolbox.rules.gated | self._client_tools
        if not gates:
            return []
        return [call for call in calls if call.name in gates and self._problem(call) is None]

    async def run(self, calls: Sequence[ToolCall]) -> list[ToolReturn]:
        """Run calls; results in their order."""
        if len(calls) > 1 and self._toolbox.rules.allow_parallel:
            return await _together([self._result(call) for call in calls])
        return [await self._checked_result(call) for call in calls]

    async def answered(self, pending: Pending, answers: Answers) -> list[ToolReturn]:
        """Run what waited and was approved; results of all that waited, in order."""
        self.offer = ANYTHING
        return await _together([self._answered(c, pending, answers) for c in pending.calls])

    def ends_turn(self, call: ToolCall, result: ToolReturn) -> bool:
        """Whether a call's result ends the turn."""
        return result.status == "success" and self._toolbox.rules.ends_with(call.name, self.called)

    def missing(self) -> list[str]:
        """Tools that must be called before the turn may end."""
        return self._toolbox.rules.missing(self.called)

    async def _answered(self, call: ToolCall, pending: Pending, answers: Answers) -> ToolReturn:
        answer = answers.to(call) if call.tool_call_id in pending.asked else None
        if answer is not None and answer.is_return:
            result = self._shaped(call, returned(call, answer))
            self.called.append(Called(call.name, result.tool_return))
            return result
        if answer is not None and answer.approve is not True:
            result = denied(call, answer.reason)
            self.called.append(Called(call.name, result.tool_return))
            return result
        return await self._result(call)

    async def _checked_result(self, call: ToolCall) -> ToolReturn:
        """One result; what the rules allow next depends on it."""
        result = await self._result(call)
        self.next_offer()
        return result

    async def _result(self, call: ToolCall) -> ToolReturn:
        problem = self._problem(call)
        if problem is not None:
            return self._shaped(call, failed(call, problem))
        result = self._shaped(call, await self._execute(call))
        self.called.append(Called(call.name, result.tool_return))
        return result

    async def _execute(self, call: ToolCall) -> ToolReturn:
        if self._toolbox.homes.get(call.name) == "instance":
            return await self._run_here(call)
        frame = self._frame
        request = bridge.ToolCallRequest(
            frame.token,
            frame.run_id,
            self._seq,
            call.tool_call_id,
            call.name,
            call.arguments or "{}",
        )
        self._seq += 1
        answer = await frame.bridge.ask(bridge.TOOL_CALL, request, _tool_decoder)
        self.blocks += answer.blocks
        self.removed.update(answer.removed)
        return answer.result

    async def _run_here(self, call: ToolCall) -> ToolReturn:
        """Run a tool in a sandbox, but not for a turn that is cancelled meanwhile."""
        runnable = self._toolbox.runnables[call.name]
        host = HostCalls(self._frame, self._ran, self.blocks)
        self._ran += 1
        running = asyncio.ensure_future(self._frame.tools.run(call, runnable, host))
        try:
            done, _ = await asyncio.wait([running], timeout=WATCH_AFTER_S)
            ran = running.result() if done else await self._watched(running)
        finally:
            running.cancel()
        self.sandbox_us += ran.sandbox_us
        return ran.result

    async def _watched(self, running: asyncio.Future[Ran]) -> Ran:
        frame = self._frame
        watch = bridge.TurnWatch(frame.token, frame.run_id)
        watching = asyncio.ensure_future(frame.bridge.ask(bridge.TURN_WATCH, watch, _empty_decoder))
        try:
            either: list[asyncio.Future[Any]] = [running, watching]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            return await running
        finally:
            watching.cancel()

    def _problem(self, call: ToolCall) -> str | None:
        if call.name not in self._toolbox.homes and call.name not in self._client_tools:
            return f"there is no such tool; the tools are: {self._names()}"
        if not self.offer.allows(call.name):
            allowed = ", ".join(sorted(self.offer.names or ())) or "none"
            return f"a tool rule does not allow it now; what may be called: {allowed}"
        try:
            _arguments_decoder.decode(call.arguments or "{}")
        except msgspec.ValidationError:
            return "the arguments must be a JSON object"
        except (msgspec.DecodeError, UnicodeError) as error:
            return f"the arguments are not valid JSON ({error}); call it again with valid JSON"
        return None

    def _names(self) -> str:
        return ", ".join(sorted(self._toolbox.homes.keys() | self._client_tools)) or "none"

    def _with_given_arguments(self, call: ToolCall) -> ToolCall:
        given = self._toolbox.rules.given_arguments(call.name, self.called)
        if not given:
            return call
        try:
            own = _arguments_decoder.decode(call.arguments or "{}")
        except (msgspec.MsgspecError, UnicodeError):
            own = {}
        merged = msgspec.json.encode({**own, **given}).decode()
        return ToolCall(call.tool_call_id, call.name, merged)

    def _shaped(self, call: ToolCall, result: ToolReturn) -> ToolReturn:
        genome = self._frame.genome
        hook = genome.hooks.after_tool
        text = result.tool_return
        if hook is not None:
            outcome = ToolOutcome(call.name, result.status == "error", text)
            text = apply_hook(hook, outcome, genome.params).text
        limit = genome.count("tool_return_chars")
        if len(text) > limit:
            text = f"{text[:limit]}\n[{len(text) - limit} more characters not shown]"
        if text is result.tool_return:
            return result
        return msgspec.structs.replace(result, tool_return=text)


async def _together(jobs: Sequence[Coroutine[Any, Any, ToolReturn]]) -> list[ToolReturn]:
    """Results of jobs that run side by side; when one fails, the others are given up."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
