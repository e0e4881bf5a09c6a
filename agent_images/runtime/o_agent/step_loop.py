"""The step loop: LLM call, tool calls, and again, until there is a reason to stop.

One `StepLoop` executes one turn once. It makes the turn's messages and the encoded window at the
same time, so that a further step and the next turn need no compilation. A call that the client must
approve, or run itself, ends the turn; the turn that brings the answer begins with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from o_agent.approvals import Pending, pending_of
from o_agent.bridge_client import BridgeError
from o_agent.compaction import NothingToCompactError
from o_agent.hooks import Reply, Step, apply_hook
from o_agent.llm_messages import (
    Unit,
    assistant_message,
    decode_list,
    encode_unit,
    input_message,
    tool_message,
)
from o_agent.message_ids import otid_of
from o_agent.tool_calls import ToolCalls
from o_agent.tool_rules import Offer
from o_agent.tool_runner import failed
from o_agent.turn_frame import DeltaPlace, TurnFrame
from o_agent.turn_window import TurnWindow
from o_contracts import bridge
from o_contracts.ids import now_us
from o_contracts.llm import LlmDelta, LlmMessage, LlmRequest, LlmResult
from o_contracts.messages import (
    Message,
    MessageType,
    StopReason,
    ToolCall,
    ToolReturn,
    Usage,
)

_result_decoder = msgspec.msgpack.Decoder(LlmResult)
_delta_decoder = msgspec.msgpack.Decoder(LlmDelta)
MAX_REMINDERS: Final = 3
"""How often in a row a model that owes a tool call is asked for it."""
_STOPS: Final[Mapping[str, StopReason]] = {
    "length": "max_tokens_exceeded",
    "content_filter": "invalid_llm_response",
}


class StepLoop:
    """One execution of one turn; read its fields when `run` has returned."""

    __slots__ = (
        "_calls",
        "_deltas",
        "_frame",
        "_partial",
        "_reminders",
        "_sink",
        "records",
        "window",
    )

    def __init__(self, frame: TurnFrame, inputs: list[Message], input_units: list[Unit]) -> None:
        """`inputs` are the client's messages, `input_units` the same as the model reads them."""
        self._frame = frame
        self._sink = frame.sink
        self._deltas = (
            frame.sink is not None
            and frame.sink.wants_tokens
            and frame.genome.hooks.after_reply is None
        )
        called = frame.pending.called if frame.pending is not None else ()
        self._calls = ToolCalls(frame, frame.context.toolbox, called)
        self._reminders = 0
        self._partial: list[str] = []
        """The text of a reply that is being made, as far as the client has it."""
        self.window = TurnWindow(frame, inputs, input_units)
        self.records: list[bridge.StepRecord] = []

    async def run(self) -> StopReason:
        """Execute steps until there is a reason to stop.

        Raises:
            ConnectionLost, BridgeError: the bridge or the model failed.
            HookError: the genome's code failed.
        """
        stop = await self._answer_pending()
        if stop is not None:
            return stop
        for index in range(self._frame.max_steps):
            stop = await self._step(index)
            if stop is not None:
                return stop
        return "max_steps"

    async def cancelled(self) -> StopReason:
        """End where the turn is: keep what was said, and answer the calls that were not run."""
        index = len(self.records)
        step_id = self._frame.ids.get("step", "step", index)
        if self._partial:
            text, self._partial = "".join(self._partial), []
            await self._add("assistant_message", step_id, ("text", index), content=text)
            said = LlmMessage("assistant", text)
            self.window.made.append(encode_unit(said, 1, self.window.messages[-1].id))
        open_calls = self._unanswered()
        results = [failed(call, "the user cancelled the turn") for call in open_calls]
        await self._record_returns(step_id, ("cancelled",), open_calls, results)
        return "cancelled"

    def _unanswered(self) -> list[ToolCall]:
        pending = self._frame.pending
        messages = self.window.messages
        asked = [c for m in messages for c in m.tool_calls or ()]
        asked += pending.calls if pending is not None else ()
        done = {m.tool_return.tool_call_id for m in messages if m.tool_return is not None}
        return [call for call in asked if call.tool_call_id not in done]

    def pending(self) -> Pending | None:
        """What waits for the client at the end of this turn."""
        found = pending_of(self.window.messages)
        return found and replace(found, called=tuple(self._calls.called))

    def usage(self) -> Usage:
        """Tokens of all steps so far."""
        records = self.records
        if len(records) == 1:
            return records[0].usage
        return Usage(
            sum(record.usage.prompt_tokens for record in records),
            sum(record.usage.completion_tokens for record in records),
            sum(record.usage.cached_input_tokens for record in records),
            sum(record.usage.reasoning_tokens for record in records),
        )

    async def _step(self, index: int) -> StopReason | None:
        frame = self._frame
        step_id = frame.ids.get("step", "step", index)
        started = time.perf_counter_ns()
        if self.window.may_be_full():
            await self.window.make_room()
        try:
            result = await self._complete(index, step_id)
        except BridgeError as error:
            if not self.window.can_make_room(error):
                raise
            try:
                await self.window.compact(self.window.settings("all"))
            except NothingToCompactError:
                raise error from None
            result = await self._complete(index, step_id)
        answered = time.perf_counter_ns()
        reply = self._reply(result)
        gated = self._calls.gated(reply.tool_calls)
        await self._record_reply(index, step_id, result.reasoning, reply, gated)
        self.window.note_reply()
        stop = await self._after_reply(index, step_id, reply, gated, result.finish_reason)
        usage = result.usage
        self.window.tokens = usage.prompt_tokens + usage.completion_tokens
        self.records.append(
            bridge.StepRecord(
                step_id,
                result.model or frame.model,
                usage,
                stop or "tool_calls",
                (answered - started) // 1000,
                (time.perf_counter_ns() - answered) // 1000 if reply.tool_calls else 0,
                self._taken_sandbox_us(),
            )
        )
        return stop

    def _taken_sandbox_us(self) -> int:
        taken, self._calls.sandbox_us = self._calls.sandbox_us, 0
        return taken

    async def _complete(self, index: int, step_id: str) -> LlmResult:
        frame = self._frame
        offer = self._calls.next_offer()
        if offer.is_dead_end:
            return LlmResult(finish_reason="no_tool_left")
        if not self._deltas or self._sink is None:
            return await frame.bridge.ask(
                bridge.LLM_COMPLETE, self._request(index, offer), _result_decoder
            )
        sink = self._sink
        place = DeltaPlace(frame.ids, index, step_id, frame.run_id, now_us(), frame.gated)

        async def pass_on(delta: LlmDelta) -> None:
            if delta.text:
                self._partial.append(delta.text)
            await sink.delta(place, delta)

        self._partial = []
        result = await frame.bridge.stream(
            bridge.LLM_COMPLETE,
            self._request(index, offer),
            _delta_decoder,
            pass_on,
            _result_decoder,
        )
        self._partial = []
        return result

    def _request(self, index: int, offer: Offer) -> LlmRequest:
        context, frame = self.window.context, self._frame
        messages: Any = self.window.request_messages()
        settings = context.settings
        if offer.must_call:
            settings = {**settings, "tool_choice": _tool_choice(offer)}
        hook = frame.genome.hooks.before_step
        if hook is not None:
            step = Step(index, decode_list(messages), dict(settings))
            step = apply_hook(hook, step, frame.genome.params)
            messages, settings = step.messages, step.settings
        tools: Any = context.toolbox.offered(offer.names, frame.client_tools)
        return LlmRequest(
            frame.model,
            messages,
            tools,
            settings,
            self._deltas,
            frame.token,
            frame.run_id,
            index,
        )

    def _reply(self, result: LlmResult) -> Reply:
        reply = Reply(result.text, self._calls.prepared(result.tool_calls))
        hook = self._frame.genome.hooks.after_reply
        return reply if hook is None else apply_hook(hook, reply, self._frame.genome.params)

    async def _record_reply(
        self, index: int, step_id: str, reasoning: str, reply: Reply, gated: list[ToolCall]
    ) -> None:
        stored = len(self.window.messages)
        if reasoning:
            place = ("reasoning", index)
            await self._add("reasoning_message", step_id, place, content=reasoning)
        if reply.text:
            place = ("text", index)
            await self._add("assistant_message", step_id, place, content=reply.text)
        free = [call for call in reply.tool_calls if call not in gated] if gated else None
        if free or (reply.tool_calls and not gated):
            place = ("calls", index)
            calls = free or reply.tool_calls
            await self._add("tool_call_message", step_id, place, tool_calls=calls)
        if gated:
            place = ("approvals", index)
            await self._add("approval_request_message", step_id, place, tool_calls=gated)
        calls = reply.tool_calls if free is None else [*free, *gated]
        said = assistant_message(reply.text, calls)
        if said is not None:
            first_id = self.window.messages[stored].id
            self.window.made.append(encode_unit(said, len(self.window.messages) - stored, first_id))

    async def _after_reply(
        self, index: int, step_id: str, reply: Reply, gated: list[ToolCall], finish_reason: str
    ) -> StopReason | None:
        if gated:
            return "requires_approval"
        if reply.tool_calls:
            self._reminders = 0
            self._calls.owes = False
            results = await self._calls.run(reply.tool_calls)
            return await self._record_returns(step_id, ("return", index), reply.tool_calls, results)
        if finish_reason == "no_tool_left":
            return "tool_rule"
        if self._calls.offer.must_call or self._calls.missing():
            return self._remind(step_id)
        return _STOPS.get(finish_reason, "end_turn")

    def _remind(self, step_id: str) -> StopReason | None:
        """Ask a model that ended too early for the call that it owes; the reminder is kept."""
        self._reminders += 1
        if self._reminders > MAX_REMINDERS:
            return "no_tool_call"
        self._calls.owes = True
        offer = self._calls.next_offer()
        names = ", ".join(sorted(offer.names or self._calls.missing()))
        reminder = Message(
            self._frame.ids.get("message", "reminder", len(self.window.messages)),
            "event_message",
            now_us(),
            f"A tool rule wants you to call {names} before you finish.",
            step_id=step_id,
            run_id=self._frame.run_id,
        )
        self.window.messages.append(reminder)
        self.window.made.append(encode_unit(input_message(reminder), 1, reminder.id))
        return None

    async def _answer_pending(self) -> StopReason | None:
        """Begin with what the turn before this one waited for."""
        pending, answers = self._frame.pending, self._frame.answers
        if pending is None or answers is None:
            return None
        following, self.window.messages = self.window.messages[1:], self.window.messages[:1]
        units, self.window.made = self.window.made, []
        results = await self._calls.answered(pending, answers)
        calls = list(pending.calls)
        stop = await self._record_returns(pending.step_id, ("answered",), calls, results)
        self.window.messages += following
        self.window.made += units
        return stop

    async def _record_returns(
        self,
        step_id: str,
        place: tuple[str | int, ...],
        calls: list[ToolCall],
        results: list[ToolReturn],
    ) -> StopReason | None:
        stop: StopReason | None = None
        for position, (call, result) in enumerate(zip(calls, results, strict=True)):
            await self._add(
                "tool_return_message",
                step_id,
                (*place, position),
                tool_return=result,
                name=call.name,
                is_err=True if result.status == "error" else None,
            )
            returned = tool_message(call.tool_call_id, result.tool_return)
            self.window.made.append(encode_unit(returned, 1, self.window.messages[-1].id))
            if self._calls.ends_turn(call, result):
                stop = "tool_rule"
        if self._calls.blocks or self._calls.removed:
            self.window.take_blocks(self._calls.blocks, self._calls.removed)
            self._calls.blocks, self._calls.removed = [], set()
        return stop

    async def _add(
        self, kind: MessageType, step_id: str, place: tuple[str | int, ...], **content: Any
    ) -> None:
        message_id = self._frame.ids.get("message", *place)
        message = Message(
            id=message_id,
            type=kind,
            date_us=now_us(),
            otid=otid_of(message_id),
            step_id=step_id,
            run_id=self._frame.run_id,
            **content,
        )
        self.window.messages.append(message)
        if self._sink is not None:
            await self._sink.message(message)


def _tool_choice(offer: Offer) -> Any:
    names = offer.names or ()
    if len(names) == 1:
        return {"type": "function", "function": {"name": next(iter(names))}}
    return "required"
