"""Model calls of turns: the built-in models here, every other through the LLM gateway.

A reply that was paid for is written to the journal before the instance gets it, so that another
attempt of the turn gets the same one for nothing. A call goes on when the instance that asked for
it is gone (the reply is paid for anyway, and the next attempt will ask for it), and stops when the
instance cancels it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from hashlib import blake2b
from itertools import islice
from time import perf_counter_ns
from typing import Final

import msgspec
from psycopg import AsyncConnection

from o_contracts.bridge import LLM_COMPLETE, TokensCount, TokensCounted
from o_contracts.frames import INITIAL_CREDIT, FrameError
from o_contracts.llm import (
    CountRequest,
    LlmDelta,
    LlmRequest,
    LlmResult,
    ProviderTrace,
    ToolCallDelta,
)
from o_platform.agents.past_runs import JournalRow, write_journal
from o_platform.bridge.connection import Connection, Stream
from o_platform.bridge.counters import Counters
from o_platform.bridge.lru import Lru
from o_platform.bridge.memo import Memo, digest_llm
from o_platform.bridge.postgres import Postgres
from o_platform.bridge.tasks import Tasks
from o_platform.bridge.turn import ServedCall, Turn
from o_platform.db.sealing import Vault
from o_platform.errors import LlmError, OError, TooLargeError
from o_platform.llm.budget import Budget
from o_platform.llm.builtin import ECHO, BuiltinModels, deltas_of, is_builtin
from o_platform.llm.chat_format import chat_request, chat_response
from o_platform.llm.client import LlmClient
from o_platform.llm.tokens import count_tokens

_log = logging.getLogger(__name__)
JOURNAL_WAIT_S: Final = 20.0
"""Longest wait for the database with a paid reply in hand."""
COUNTED_TEXTS: Final = 8192
"""Texts whose tokens are remembered."""
MAX_CALLS: Final = 512
"""Model calls of one turn, more than any number of steps that a client may ask for."""


class TooManyCallsError(LlmError):
    """The turn asked the model more often than any turn may."""

    code = "too_many_calls"
    status = 429
    retryable = False


class Models:
    """Answers `llm.complete` for running turns."""

    def __init__(
        self,
        builtin: BuiltinModels,
        client: LlmClient,
        budget: Budget,
        postgres: Postgres,
        vault: Vault,
        tasks: Tasks,
        counters: Counters,
        *,
        traced: bool = False,
    ) -> None:
        """`client` reaches the LLM gateway; `vault` seals the journal.

        `traced`: what each step sends to its provider is to be kept.
        """
        self._builtin = builtin
        self._client = client
        self._budget = budget
        self._postgres = postgres
        self._vault = vault
        self._tasks = tasks
        self._counters = counters
        self._traced = traced
        self._calls: dict[tuple[Connection, int], _Call] = {}
        self._counted: Lru[tuple[str, bytes], int] = Lru(COUNTED_TEXTS)

    def complete(
        self, turn: Turn, connection: Connection, exchange: int, request: LlmRequest
    ) -> None:
        """Answer with a reply; at once if it takes no time."""
        self._counters.llm_calls += 1
        turn.asked += 1
        turn.asked_model = request.model
        if turn.asked > MAX_CALLS:
            connection.fail(exchange, LLM_COMPLETE, _too_many(turn))
            return
        # What a script says is counted as said, and a stream of it may be too long to go at once.
        if is_builtin(request.model) and (request.model == ECHO or not request.stream):
            started = perf_counter_ns()
            try:
                result = self._builtin.complete_now(request)
            except OError as error:
                connection.fail(exchange, LLM_COMPLETE, error)
                return
            if result is not None and _sent_at_once(connection, exchange, request, result):
                result = self._with_trace(request, result)
                turn.served.append(_served(request, "", result, started))
                result = _without_trace(result)
                if request.stream:
                    connection.end(exchange, LLM_COMPLETE, result)
                else:
                    connection.reply(exchange, LLM_COMPLETE, result)
                return
        call = _Call(turn, connection, exchange, request)
        turn.stop_with(exchange, call.stop)
        self._calls[connection, exchange] = call
        call.task = self._tasks.spawn(self._serve(call))
        # Of one that is cancelled before it begins, nothing runs.
        call.task.add_done_callback(lambda _: self._forget(call))

    def cancel(self, connection: Connection, exchange: int) -> None:
        """Stop a call that its instance no longer wants."""
        call = self._calls.get((connection, exchange))
        if call is not None and call.task is not None:
            call.task.cancel()

    async def count(self, request: TokensCount) -> TokensCounted:
        """Tokens of texts to a model; what was counted lately is remembered.

        Raises:
            LlmError: the gateway does not answer.
        """
        if is_builtin(request.model):
            return TokensCounted([count_tokens(text) for text in request.texts])
        keys = [
            (request.model, blake2b(t.encode(), digest_size=16).digest()) for t in request.texts
        ]
        unknown = [n for n, key in enumerate(keys) if self._counted.get(key) is None]
        if unknown:
            asked = CountRequest(request.model, [request.texts[n] for n in unknown])
            for n, tokens in zip(unknown, (await self._client.count(asked)).tokens, strict=True):
                self._counted.put(keys[n], tokens)
        return TokensCounted([self._counted.get(key) or 0 for key in keys])

    def answer_soon(
        self, connection: Connection, exchange: int, op: str, work: Coroutine[None, None, object]
    ) -> None:
        """Answer a request that takes time and belongs to no turn."""

        async def answered() -> None:
            try:
                connection.reply(exchange, op, await work)
            except OError as error:
                connection.fail(exchange, op, error)

        self._tasks.spawn(answered())

    async def answer(self, turn: Turn, request: LlmRequest) -> LlmResult:
        """The reply to a tool's question, within the variant's budget.

        Raises:
            OError: the model failed, or the turn or the variant asked for too much.
        """
        turn.asked += 1
        if turn.asked > MAX_CALLS:
            raise _too_many(turn)
        variant = turn.opening.caller.variant
        pieces = (
            self._builtin.complete(request)
            if is_builtin(request.model)
            else self._budget.metered(variant, request, self._client.complete(request))
        )
        async for piece in pieces:
            if isinstance(piece, LlmResult):
                return piece
        raise LlmError(f"the model `{request.model}` gave no reply", model=request.model)

    async def _serve(self, call: _Call) -> None:
        call.turn.calls += 1
        try:
            result = await self._result(call)
            call.end(result)
        except OError as error:
            call.connection.fail(call.exchange, LLM_COMPLETE, error)
        except Exception:  # noqa: BLE001 — whatever it is, the instance must not wait for ever
            _log.exception("a model call failed", extra={"run_id": call.turn.run_id})
            message = f"the call of `{call.request.model}` failed; see `o logs bridge`"
            call.connection.fail(call.exchange, LLM_COMPLETE, OError(message))
        finally:
            call.turn.calls -= 1
            self._forget(call)

    def _forget(self, call: _Call) -> None:
        if self._calls.get((call.connection, call.exchange)) is call:
            del self._calls[call.connection, call.exchange]
            call.turn.forget_stop(call.exchange)

    async def _result(self, call: _Call) -> LlmResult:
        if is_builtin(call.request.model):
            played = await call.play(self._builtin.complete(call.request))
            result = self._with_trace(call.request, played)
            call.note("", result)
            return result
        digest, memo, seq = digest_llm(call.request), call.turn.memo, call.request.seq
        running = memo.running("llm", seq, digest)
        if running is not None:
            await asyncio.shield(running)  # others wait for it, too
        known = memo.result("llm", seq, digest, LlmResult)
        if known is not None:
            self._counters.llm_from_journal += 1
            await call.send(_whole(known))
            if not any(c.seq == seq and c.digest == digest for c in call.served):
                call.note(digest, known)
            return known
        return await self._pay(call, memo, digest)

    async def _pay(self, call: _Call, memo: Memo, digest: str) -> LlmResult:
        variant = call.turn.opening.caller.variant
        request = msgspec.structs.replace(call.request, variant=variant, traced=self._traced)
        answered = memo.begin("llm", request.seq, digest)
        try:
            pieces = self._budget.metered(variant, request, self._client.complete(request))
            async with aclosing(pieces) as metered:
                result = await call.play(metered)
            call.note(digest, result)
            await self._journal(call.turn, memo.keep("llm", request.seq, digest, result))
        finally:
            answered.set_result(None)
        return result

    def _with_trace(self, request: LlmRequest, result: LlmResult) -> LlmResult:
        """A built-in model's result; what it was asked and answered is all there is."""
        if not self._traced:
            return result
        asked, said = chat_request(request), chat_response(result)
        trace = ProviderTrace(json.dumps(asked), json.dumps(said))
        return msgspec.structs.replace(result, trace=trace)

    async def _journal(self, turn: Turn, row: JournalRow) -> None:
        if not turn.opening.caller.is_durable:
            return
        turn.journaled = True

        async def write(connection: AsyncConnection) -> None:
            await write_journal(connection, self._vault, *turn.key, row)

        await self._postgres.run(write, wait_s=JOURNAL_WAIT_S)


class _Call:
    """One `llm.complete` exchange."""

    __slots__ = ("connection", "exchange", "request", "served", "started", "stream", "task", "turn")

    def __init__(
        self, turn: Turn, connection: Connection, exchange: int, request: LlmRequest
    ) -> None:
        self.turn = turn
        self.connection = connection
        self.exchange = exchange
        self.request = request
        self.served = turn.served
        """Of the attempt that asks; the next one has its own."""
        self.started = perf_counter_ns()
        self.task: asyncio.Task[None] | None = None
        self.stream: Stream | None = None
        if request.stream:
            self.stream = connection.stream(exchange, LLM_COMPLETE)

    def stop(self, error: OError) -> None:
        """End the call with this error."""
        self.connection.fail(self.exchange, LLM_COMPLETE, error)
        if self.task is not None:
            self.task.cancel()

    def note(self, digest: str, result: LlmResult) -> None:
        """Count the call as answered."""
        self.served.append(_served(self.request, digest, result, self.started))

    async def play(self, pieces: AsyncIterator[LlmDelta | LlmResult]) -> LlmResult:
        """Pass the deltas on; returns the result."""
        async for piece in pieces:
            if isinstance(piece, LlmResult):
                return piece
            await self.send(piece)
        raise LlmError(f"the model `{self.request.model}` gave no reply", model=self.request.model)

    async def send(self, piece: LlmDelta) -> None:
        """Pass one delta on, if a stream was asked for."""
        if self.stream is None:
            return
        try:
            await self.stream.send(piece)
        except FrameError as error:
            raise TooLargeError(f"a piece of the model's reply is too large: {error}") from error

    def end(self, result: LlmResult) -> None:
        """Answer with the whole reply."""
        result = _without_trace(result)
        if self.stream is None:
            self.connection.reply(self.exchange, LLM_COMPLETE, result)
        else:
            self.connection.end(self.exchange, LLM_COMPLETE, result)


def _sent_at_once(
    connection: Connection, exchange: int, request: LlmRequest, result: LlmResult
) -> bool:
    """Send the deltas of a result if a stream of them was asked for; False if they need credit."""
    deltas = list(islice(deltas_of(result), INITIAL_CREDIT + 1)) if request.stream else []
    if len(deltas) > INITIAL_CREDIT:
        return False
    for delta in deltas:
        connection.chunk(exchange, LLM_COMPLETE, delta)
    return True


def _served(request: LlmRequest, digest: str, result: LlmResult, started: int) -> ServedCall:
    llm_us = (perf_counter_ns() - started) // 1000
    model = result.model or request.model
    return ServedCall(request.seq, digest, model, result.usage, llm_us, result.trace)


def _without_trace(result: LlmResult) -> LlmResult:
    """What the instance gets."""
    return result if result.trace is None else msgspec.structs.replace(result, trace=None)


def _too_many(turn: Turn) -> TooManyCallsError:
    return TooManyCallsError(f"{turn.run_id} has asked for {MAX_CALLS} model calls already")


def _whole(result: LlmResult) -> LlmDelta:
    """A known reply as the one delta of its stream."""
    calls = [
        ToolCallDelta(index, call.tool_call_id, call.name, call.arguments)
        for index, call in enumerate(result.tool_calls)
    ]
    return LlmDelta(result.text, result.reasoning, calls)
