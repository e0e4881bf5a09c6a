"""The step loop: LLM call, tool calls, and again, until there is a reason to stop.

One `StepLoop` executes one turn once. It makes the turn's messages and the encoded window at the
same time, so that a further step and the next turn need no compilation. Tools run one after the
other, in the model's order: a later one may rely on what an earlier one wrote.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import msgspec

from o_agent.bridge_client import BridgeClient
from o_agent.context import CompiledContext, ContextCompiler, system_unit
from o_agent.genome import Genome
from o_agent.hooks import Reply, Step, ToolOutcome, apply_hook
from o_agent.llm_messages import (
    Unit,
    assistant_message,
    decode_messages,
    encode_unit,
    tool_message,
)
from o_agent.message_ids import TurnIds, otid_of
from o_agent.tool_runner import ToolRunner, failed
from o_contracts import bridge
from o_contracts.ids import now_us
from o_contracts.llm import LlmDelta, LlmRequest, LlmResult
from o_contracts.messages import (
    Block,
    Message,
    MessageType,
    StopReason,
    ToolCall,
    ToolReturn,
    Usage,
)

_result_decoder = msgspec.msgpack.Decoder(LlmResult)
_delta_decoder = msgspec.msgpack.Decoder(LlmDelta)
_tool_decoder = msgspec.msgpack.Decoder(bridge.ToolCallResult)
_STOPS: Final[Mapping[str, StopReason]] = {
    "length": "max_tokens_exceeded",
    "content_filter": "invalid_llm_response",
}


class Sink(Protocol):
    """Who watches a turn while it runs (a stream)."""

    @property
    def wants_tokens(self) -> bool:
        """Whether deltas are wanted, too."""

    async def opened(self, run_id: str) -> None:
        """The turn has begun, or begun again."""

    async def delta(self, place: DeltaPlace, delta: LlmDelta) -> None:
        """A piece of the reply that is being made."""

    async def message(self, message: Message) -> None:
        """A message is complete."""


@dataclass(frozen=True, slots=True)
class DeltaPlace:
    """Where the pieces of a reply belong: ids and date of the messages it will become."""

    ids: TurnIds
    step: int
    step_id: str
    run_id: str
    date_us: int


@dataclass(slots=True)
class TurnFrame:
    """What a step loop is given: the opened turn and what the client asked for.

    `context` is what the model sees; `system` the agent's own prompt in it, or what overrides it.
    """

    bridge: BridgeClient
    genome: Genome
    compiler: ContextCompiler
    tools: ToolRunner
    context: CompiledContext
    system: str
    ids: TurnIds
    token: int
    run_id: str
    model: str
    max_steps: int
    sink: Sink | None = None


class StepLoop:
    """One execution of one turn; read its fields when `run` has returned."""

    __slots__ = (
        "_calls",
        "_context",
        "_deltas",
        "_frame",
        "_sink",
        "blocks",
        "context_tokens",
        "made",
        "messages",
        "records",
    )

    def __init__(self, frame: TurnFrame, inputs: list[Message], input_units: list[Unit]) -> None:
        """`inputs` are the client's messages, `input_units` the same as the model reads them."""
        self._frame = frame
        self._context = frame.context
        self._sink = frame.sink
        self._deltas = (
            frame.sink is not None
            and frame.sink.wants_tokens
            and frame.genome.hooks.after_reply is None
        )
        self._calls = 0
        self.messages = list(inputs)
        self.made = list(input_units)
        self.records: list[bridge.StepRecord] = []
        self.blocks: list[Block] | None = None
        self.context_tokens = 0

    async def run(self) -> StopReason:
        """Execute steps until there is a reason to stop.

        Raises:
            ConnectionLost, BridgeError: the bridge or the model failed.
            HookError: the genome's code failed.
        """
        for index in range(self._frame.max_steps):
            stop = await self._step(index)
            if stop is not None:
                return stop
        return "max_steps"

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
        result = await self._complete(index, step_id)
        answered = time.perf_counter_ns()
        reply = self._reply(result)
        await self._record_reply(index, step_id, result.reasoning, reply)
        stop = await self._call_tools(index, step_id, reply.tool_calls)
        if stop is None and not reply.tool_calls:
            stop = _STOPS.get(result.finish_reason, "end_turn")
        usage = result.usage
        self.context_tokens = usage.prompt_tokens + usage.completion_tokens
        self.records.append(
            bridge.StepRecord(
                step_id,
                result.model or frame.model,
                usage,
                stop or "tool_calls",
                (answered - started) // 1000,
                (time.perf_counter_ns() - answered) // 1000 if reply.tool_calls else 0,
            )
        )
        return stop

    async def _complete(self, index: int, step_id: str) -> LlmResult:
        frame = self._frame
        request = self._request(index)
        if not self._deltas or self._sink is None:
            return await frame.bridge.ask(bridge.LLM_COMPLETE, request, _result_decoder)
        sink = self._sink
        place = DeltaPlace(frame.ids, index, step_id, frame.run_id, now_us())
        return await frame.bridge.stream(
            bridge.LLM_COMPLETE,
            request,
            _delta_decoder,
            lambda delta: sink.delta(place, delta),
            _result_decoder,
        )

    def _request(self, index: int) -> LlmRequest:
        context, frame = self._context, self._frame
        window = context.window
        system = system_unit(context.prompt, context.agent, window.earlier_messages)
        messages: Any = [system.raw]
        messages += [unit.raw for unit in window.units]
        messages += [unit.raw for unit in self.made]
        settings = context.settings
        hook = frame.genome.hooks.before_step
        if hook is not None:
            step = Step(index, decode_messages(messages), dict(settings))
            step = apply_hook(hook, step, frame.genome.params)
            messages, settings = step.messages, step.settings
        tools: Any = context.toolbox.encoded  # encoded once for all agents that share it
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
        reply = Reply(result.text, result.tool_calls)
        hook = self._frame.genome.hooks.after_reply
        return reply if hook is None else apply_hook(hook, reply, self._frame.genome.params)

    async def _record_reply(self, index: int, step_id: str, reasoning: str, reply: Reply) -> None:
        stored = len(self.messages)
        if reasoning:
            place = ("reasoning", index)
            await self._add("reasoning_message", step_id, place, content=reasoning)
        if reply.text:
            place = ("text", index)
            await self._add("assistant_message", step_id, place, content=reply.text)
        if reply.tool_calls:
            place = ("calls", index)
            await self._add("tool_call_message", step_id, place, tool_calls=reply.tool_calls)
        said = assistant_message(reply.text, reply.tool_calls)
        if said is not None:
            self.made.append(encode_unit(said, len(self.messages) - stored))

    async def _call_tools(
        self, index: int, step_id: str, calls: list[ToolCall]
    ) -> StopReason | None:
        stop: StopReason | None = None
        for position, call in enumerate(calls):
            result = self._shaped(call, await self._call_tool(call))
            await self._add(
                "tool_return_message",
                step_id,
                ("return", index, position),
                tool_return=result,
                name=call.name,
                is_err=True if result.status == "error" else None,
            )
            self.made.append(encode_unit(tool_message(call.tool_call_id, result.tool_return), 1))
            if call.name in self._context.toolbox.exits and result.status == "success":
                stop = "tool_rule"
        return stop

    async def _call_tool(self, call: ToolCall) -> ToolReturn:
        home = self._context.toolbox.homes.get(call.name)
        problem = self._problem(call, home)
        if problem is not None:
            return failed(call, problem)
        if home == "instance":
            return await self._frame.tools.run(call)
        frame = self._frame
        request = bridge.ToolCallRequest(
            frame.token,
            frame.run_id,
            self._calls,
            call.tool_call_id,
            call.name,
            call.arguments or "{}",
        )
        self._calls += 1
        answer = await frame.bridge.ask(bridge.TOOL_CALL, request, _tool_decoder)
        if answer.blocks:
            self._take_blocks(answer.blocks)
        return answer.result

    def _problem(self, call: ToolCall, home: str | None) -> str | None:
        if home is None:
            known = ", ".join(sorted(self._context.toolbox.homes)) or "none"
            return f"there is no such tool; the tools are: {known}"
        if call.name in self._context.toolbox.needs_approval:
            return "it needs an approval, which turns cannot ask for yet; it was not run"
        try:
            arguments = msgspec.json.decode(call.arguments or "{}")
        except (msgspec.DecodeError, UnicodeError) as error:
            return f"the arguments are not valid JSON ({error}); call it again with valid JSON"
        return None if isinstance(arguments, dict) else "the arguments must be a JSON object"

    def _take_blocks(self, changed: list[Block]) -> None:
        """From the next step on, the model sees the edited memory."""
        by_id = {block.id: block for block in changed}
        agent = self._context.agent
        self.blocks = [by_id.pop(block.id, block) for block in agent.blocks] + [*by_id.values()]
        agent = msgspec.structs.replace(agent, blocks=self.blocks)
        prompt = self._frame.compiler.render_prompt(agent, self._frame.system)
        self._context = replace(self._context, agent=agent, prompt=prompt)

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
        self.messages.append(message)
        if self._sink is not None:
            await self._sink.message(message)
