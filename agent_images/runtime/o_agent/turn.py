"""One turn from its request to its outcome, executed again for as long as the bridge is away.

open → steps → commit. When the connection to the bridge breaks, nothing is known about what became
of the last request, so the turn starts again from `turn.open` under the same request id: the bridge
answers a finished turn from its record and repeated LLM and tool calls from its journal, hence
nothing runs twice. The client notices a pause, and a stream goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec

from o_agent.api_messages import Outcome
from o_agent.bridge_client import BridgeClient, BridgeError, ConnectionLost
from o_agent.compaction import NothingToCompactError, settings_of
from o_agent.context import CompiledContext, ContextCompiler, with_skills
from o_agent.context_cache import ContextCache
from o_agent.genome import Genome
from o_agent.hooks import HookError
from o_agent.llm_messages import AGENT_TYPES, encode_unit, input_message
from o_agent.published import Publisher
from o_agent.step_loop import StepLoop
from o_agent.tool_runner import ToolRunner
from o_agent.turn_failure import FENCED, TurnFailed, failure, is_passing, stop_reason_of
from o_agent.turn_frame import TurnFrame
from o_agent.turn_input import TurnInput, stored_inputs
from o_contracts import bridge
from o_contracts.frames import Empty
from o_contracts.messages import Message, StopReason, Usage
from o_contracts.turns import DEFAULT_MAX_STEPS, TurnRequest
from o_sandbox.protocol import Sandbox

PATIENCE_S: Final = 15.0
"""How long a turn puts up with a bridge that is away or says that it cannot now."""
FIRST_PAUSE_S: Final = 0.01
LAST_PAUSE_S: Final = 0.25

_log = logging.getLogger("o_agent.turn")
_opened_decoder = msgspec.msgpack.Decoder(bridge.TurnOpened)
_empty_decoder = msgspec.msgpack.Decoder(Empty)
_committed_decoder = msgspec.msgpack.Decoder(bridge.TurnCommitted)


_NOT_THINKING: Final = frozenset({"false", "False", "0", "no"})
SUMMARY: Final = "summary_message"


class Compaction(NamedTuple):
    """A summary, and how many messages the window showed before and shows now, it included."""

    summary: str
    num_messages_before: int
    num_messages_after: int


class TurnRunner:
    """Executes turns for one worker."""

    def __init__(
        self,
        client: BridgeClient,
        genome: Genome,
        cache: ContextCache,
        sandbox: Sandbox,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`sandbox` runs tools; `patience_s` bounds how long a turn waits for an absent bridge."""
        self._bridge = client
        self._genome = genome
        self._cache = cache
        self._compiler = ContextCompiler(genome)
        self._tools = ToolRunner(sandbox, genome.number("tool_timeout_s"))
        self._patience_s = patience_s

    @property
    def compiler(self) -> ContextCompiler:
        """Compiles contexts by the genome's rules."""
        return self._compiler

    async def compact(self, turn: TurnInput, given: dict[str, Any] | None) -> Compaction:
        """Summarize the beginning of the conversation now.

        Args:
            turn: a turn without messages; it waits for those before it.
            given: settings in the place of the agent's.

        Raises:
            TurnFailed: there is nothing to compact, or it was refused, or the model failed.
        """
        try:
            return await self._compact(turn, given)
        except (ConnectionLost, BridgeError) as error:
            raise failure(error) from error

    async def _compact(self, turn: TurnInput, given: dict[str, Any] | None) -> Compaction:
        opened = await self._bridge.ask(bridge.TURN_OPEN, self._open(turn, None), _opened_decoder)
        turn.run_id = opened.run_id
        if opened.finished is not None or opened.context is None:
            raise TurnFailed(409, "compacted", "this request has compacted the conversation before")
        context = self._compiler.compile(opened.context)
        loop = StepLoop(self._frame(turn, opened, context), [], [])
        before = context.window.shown
        try:
            settings = settings_of(context.agent.compaction if given is None else given)
            summary = await loop.window.compact(settings)
            await self._commit(turn, opened, context, loop, "end_turn")
        except NothingToCompactError as error:
            await self._abandon(opened, "nothing_to_compact", str(error))  # no run that failed
            raise TurnFailed(400, "nothing_to_compact", str(error)) from error
        except BridgeError as error:
            await self._abandon(opened, error.body.code, error.body.message, is_final=True)
            raise
        return Compaction(str(summary.content), before, loop.window.shown)

    async def run(self, turn: TurnInput) -> Outcome:
        """Execute a turn.

        Raises:
            TurnFailed: it was refused, the model or the genome failed, or the bridge stayed away.
        """
        try:
            return await self._execute(turn)
        except (ConnectionLost, BridgeError) as error:
            return await self._execute_again(turn, error)

    async def _execute_again(self, turn: TurnInput, error: ConnectionLost | BridgeError) -> Outcome:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while (left_s := deadline - loop.time()) > 0 and is_passing(error):
            try:
                if isinstance(error, BridgeError):
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LAST_PAUSE_S)
                await self._bridge.wait_connected(left_s)
                return await self._execute(turn)
            except (ConnectionLost, BridgeError) as again:
                error = again
        raise failure(error) from error

    async def _execute(self, turn: TurnInput) -> Outcome:
        cached = self._cache.get(turn.thread_id)
        turn.is_interruptible = False
        try:
            opened = await self._bridge.ask(
                bridge.TURN_OPEN, self._open(turn, cached), _opened_decoder
            )
        except BridgeError as error:
            if error.body.code != bridge.CANCELLED:
                raise
            return await _cancelled_early(turn, str(error.body.detail.get("run_id", "")))
        finally:
            turn.is_interruptible = True
        turn.run_id = opened.run_id
        if turn.sink is not None:
            if turn.publisher is not None:
                _resume(turn, turn.publisher, opened)
            await turn.sink.opened(opened.run_id)
        if opened.finished is not None:
            return await _finished(turn, opened.finished)
        if turn.is_unwanted:
            await self._abandon(opened, bridge.CANCELLED, "the client went away")
            raise TurnFailed(499, bridge.CANCELLED, "the client went away")
        context = cached
        if opened.context is not None:
            context = self._compiler.compile(opened.context)
            # A turn may wait for its model for minutes, and what was compiled is most of it.
            opened = msgspec.structs.replace(opened, context=None)
        if context is None:
            raise TurnFailed(502, "bridge_protocol", "the platform sent no context for the agent")
        return await self._run_opened(turn, opened, context)

    def _open(self, turn: TurnInput, cached: CompiledContext | None) -> bridge.TurnOpen:
        messages = turn.request.messages
        return bridge.TurnOpen(
            turn.thread_id,
            turn.request_id,
            turn.body_digest,
            turn.client,
            [message.otid for message in messages if message.otid] if messages else [],
            turn.attempt,
            turn.sdk_retry,
            0 if cached is None else cached.version,
            self._compiler.history,
            None if turn.answers is None else turn.answers.allowed(),
            "" if turn.answers is None else turn.answers.request_id,
            turn.background,
        )

    async def _run_opened(
        self, turn: TurnInput, opened: bridge.TurnOpened, context: CompiledContext
    ) -> Outcome:
        inputs = stored_inputs(turn, context.pending)
        units = [
            encode_unit(input_message(message), 1, message.id)
            for message in inputs
            if message.type != "approval_response_message"
        ]
        loop = StepLoop(self._frame(turn, opened, context), inputs, units)
        try:
            return await self._commit(turn, opened, context, loop, await _end_of(loop))
        except HookError as error:
            await self._abandon(opened, "genome_error", str(error), is_final=True)
            _log.error("the genome failed: %s", error, extra={"request_id": turn.request_id})
            raise TurnFailed(500, "genome_error", str(error)) from error
        except BridgeError as error:
            if error.body.code != FENCED:
                code, message = error.body.code, error.body.message
                await self._abandon(opened, code, message, is_final=not is_passing(error))
            raise
        except ConnectionLost:
            raise
        except Exception:
            message = "the instance failed; see its log"
            await self._abandon(opened, "internal", message, is_final=True)
            raise
        except asyncio.CancelledError:
            body = _abandonment(opened, bridge.CANCELLED, "the client went away")
            self._bridge.tell(bridge.TURN_ABANDON, body)
            raise

    def _frame(
        self, turn: TurnInput, opened: bridge.TurnOpened, context: CompiledContext
    ) -> TurnFrame:
        request = turn.request
        shown = context
        if request.override_system is not None:
            prompt = self._compiler.render_prompt(context.agent, request.override_system)
            shown = replace(context, prompt=prompt)
        if request.client_skills:
            shown = replace(shown, prompt=with_skills(shown.prompt, request.client_skills))
        if request.enable_thinking and request.enable_thinking not in _NOT_THINKING:
            shown = replace(shown, settings=_thinking(shown.settings))
        return TurnFrame(
            bridge=self._bridge,
            genome=self._genome,
            compiler=self._compiler,
            tools=self._tools,
            context=shown,
            system=context.agent.system
            if request.override_system is None
            else request.override_system,
            ids=turn.ids,
            token=opened.token,
            run_id=opened.run_id,
            model=request.override_model or context.agent.model,
            max_steps=self._max_steps(request),
            sink=turn.sink,
            client_tools=request.client_tools or (),
            pending=context.pending,
            answers=turn.answers,
            tells_compaction=bool(request.include_compaction_messages),
        )

    def _max_steps(self, request: TurnRequest) -> int:
        """What the client asked for; the genome's parameter if it left the API's default."""
        if request.max_steps is None or request.max_steps == DEFAULT_MAX_STEPS:
            return self._genome.count("max_steps")
        return request.max_steps

    async def _commit(
        self,
        turn: TurnInput,
        opened: bridge.TurnOpened,
        context: CompiledContext,
        loop: StepLoop,
        stop: StopReason,
    ) -> Outcome:
        usage = loop.usage()
        commit = bridge.TurnCommit(
            opened.token,
            opened.run_id,
            turn.thread_id,
            loop.window.messages,
            loop.records,
            stop,
            usage,
            loop.window.compaction,
        )
        turn.is_interruptible = False
        try:
            committed = await self._bridge.ask(bridge.TURN_COMMIT, commit, _committed_decoder)
        finally:
            turn.is_interruptible = True
        if committed.finished is not None:
            self._cache.drop(turn.thread_id)
            return await _finished(turn, committed.finished)
        self._remember(turn, context, loop, committed.version)
        tells = bool(turn.request.include_compaction_messages)
        made = [m for m in loop.window.messages if _is_made(m) or (tells and m.type == SUMMARY)]
        return Outcome(
            opened.run_id, made, stop, usage, len(loop.records), loop.window.tokens or None,
            committed.begun_run_ids,
        )  # fmt: skip

    def _remember(
        self, turn: TurnInput, context: CompiledContext, loop: StepLoop, version: int
    ) -> None:
        if version == 0:
            self._cache.drop(turn.thread_id)
            return
        window = loop.window
        stored = len(window.messages)
        following = self._compiler.after_turn(
            context, version, window.blocks, window.made, stored, loop.pending(), window.tokens
        )
        self._cache.put(following)

    async def _abandon(
        self, opened: bridge.TurnOpened, code: str, message: str, *, is_final: bool = False
    ) -> None:
        """Let the next turn of the queue begin; it may be this one, tried again."""
        body = _abandonment(opened, code, message, is_final=is_final)
        try:
            await self._bridge.ask(bridge.TURN_ABANDON, body, _empty_decoder)
        except BridgeError as error:
            _log.warning("the bridge did not take the end of %s: %s", opened.run_id, error)


async def _end_of(loop: StepLoop) -> StopReason:
    try:
        return await loop.run()
    except BridgeError as error:
        if error.body.code != bridge.CANCELLED:
            raise
        return await loop.cancelled()


def _abandonment(
    opened: bridge.TurnOpened, code: str, message: str, *, is_final: bool = False
) -> bridge.TurnAbandon:
    return bridge.TurnAbandon(
        opened.token,
        opened.run_id,
        code,
        message,
        is_final=is_final,
        stop_reason=stop_reason_of(code),
    )


def _resume(turn: TurnInput, publisher: Publisher, opened: bridge.TurnOpened) -> None:
    """A background turn is the same in every worker: its ids, and what its clients have."""
    turn.ids.derive_from(opened.run_id)
    events = publisher.begin(opened.token, opened.run_id, opened.published)
    if events and turn.sink is not None:
        turn.sink.resume(events)


def _thinking(settings: dict[str, Any]) -> dict[str, Any]:
    """With reasoning asked for, unless the agent's settings say how much."""
    return {"reasoning_effort": "medium", **settings}


async def _cancelled_early(turn: TurnInput, run_id: str) -> Outcome:
    """A turn that was cancelled while it waited for its agent: nothing happened."""
    turn.run_id = run_id
    if turn.sink is not None:
        await turn.sink.opened(run_id)
    return Outcome(run_id, [], "cancelled", Usage(), 0)


async def _finished(turn: TurnInput, record: bridge.FinishedTurn) -> Outcome:
    """The outcome of a turn that ran before; a stream gets the messages it has not sent yet."""
    made = [message for message in record.messages if _is_made(message)]
    if turn.sink is not None:
        for message in made:
            await turn.sink.message(message)
    return Outcome(turn.run_id, made, record.stop_reason, record.usage, record.step_count)


def _is_made(message: Message) -> bool:
    """Whether the agent made this message, and not the client."""
    if message.step_id is None:
        return False
    return message.type in AGENT_TYPES or message.type == "tool_return_message"
