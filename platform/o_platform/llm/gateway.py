"""What the gateway process answers: `llm.complete`, `llm.embed` and `models.list`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from o_contracts.bridge import LLM_COMPLETE
from o_contracts.frames import decode_body
from o_contracts.llm import (
    LLM_COUNT,
    LLM_EMBED,
    MODELS_LIST,
    CountRequest,
    CountResult,
    EmbedRequest,
    EmbedResult,
    LlmDelta,
    LlmRequest,
    LlmResult,
)
from o_platform.errors import BadInputError, LlmError, LlmTimeoutError
from o_platform.llm.calls import CallPolicy, ModelProvider, complete_call, embed_call
from o_platform.llm.discovery import ModelFinder
from o_platform.llm.server import Exchange


class Gateway:
    """Answers exchanges, at most `concurrency` model calls at once."""

    def __init__(
        self, provider: ModelProvider, finder: ModelFinder, policy: CallPolicy, concurrency: int
    ) -> None:
        """`provider` makes the tries, `finder` lists models."""
        self._provider = provider
        self._finder = finder
        self._policy = policy
        self._slots = asyncio.Semaphore(concurrency)

    async def answer(self, exchange: Exchange) -> object:
        """The final body of an exchange.

        Raises:
            OError: what the asker shall see.
        """
        match exchange.frame.op:
            case op if op == LLM_COMPLETE:
                return await self._complete(exchange, decode_body(exchange.frame, LlmRequest))
            case op if op == LLM_EMBED:
                return await self._embed(decode_body(exchange.frame, EmbedRequest))
            case op if op == LLM_COUNT:
                return await self._count(decode_body(exchange.frame, CountRequest))
            case op if op == MODELS_LIST:
                return await self._finder.find()
            case op:
                raise BadInputError(f"the LLM gateway has no operation {op!r}", op=op)

    async def _complete(self, exchange: Exchange, request: LlmRequest) -> LlmResult:
        exchange.streaming = request.stream
        async with (
            self._slot(request.model),
            aclosing(complete_call(self._provider, request, self._policy)) as items,
        ):
            async for item in items:
                if isinstance(item, LlmDelta):
                    await exchange.emit(item)
                else:
                    return item
        raise LlmError(f"the model `{request.model}` gave no reply", model=request.model)

    async def _embed(self, request: EmbedRequest) -> EmbedResult:
        async with self._slot(request.model):
            return await embed_call(self._provider, request, self._policy)

    async def _count(self, request: CountRequest) -> CountResult:
        # In a thread: a vocabulary is read at its first use, and long texts take a while.
        return await asyncio.to_thread(self._provider.count, request)

    @asynccontextmanager
    async def _slot(self, model: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._policy.total_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise LlmTimeoutError(
                f"a call to `{model}` waited {self._policy.total_s:g} s for its turn; "
                "raise O_LLM_CONCURRENCY",
                model=model,
            ) from error
        try:
            yield
        finally:
            self._slots.release()
