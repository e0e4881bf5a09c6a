"""One model call: tries again while that is safe, gives up in time.

A call is repeated after a rate limit, a provider's own failure or a lost connection, but only
before its first delta has been passed on: what a client has seen cannot be taken back. Waits grow
exponentially with jitter; a provider's `Retry-After` is obeyed. `total_s` bounds everything, waits
included; `chunk_s` the silence after the first delta.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from o_contracts.llm import (
    CountRequest,
    CountResult,
    EmbedRequest,
    EmbedResult,
    LlmDelta,
    LlmRequest,
    LlmResult,
)
from o_platform.errors import LlmError, LlmTimeoutError

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How long and how often: seconds in all, seconds between chunks, tries after the first."""

    total_s: float
    chunk_s: float
    retries: int


class ProviderError(Exception):
    """A try failed. `again`: another may succeed, not before `retry_after_s` if that is given."""

    def __init__(
        self, error: LlmError, *, again: bool = False, retry_after_s: float | None = None
    ) -> None:
        """`error` is what the asker gets if this was the last try."""
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.retry_after_s = retry_after_s


class ModelProvider(Protocol):
    """Makes one try of a call."""

    def complete(self, request: LlmRequest) -> AsyncGenerator[LlmDelta | LlmResult, None]:
        """The deltas (when `request.stream`), then the result.

        Raises:
            ProviderError: the try failed.
            LlmError: the call cannot succeed.
        """
        ...

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """The vectors of texts.

        Raises:
            ProviderError: the try failed.
            LlmError: the call cannot succeed.
        """
        ...

    def count(self, request: CountRequest) -> CountResult:
        """Tokens of each text, without asking anybody."""
        ...


async def complete_call(
    provider: ModelProvider,
    request: LlmRequest,
    policy: CallPolicy,
    jitter: Callable[[], float] = random.random,
) -> AsyncGenerator[LlmDelta | LlmResult, None]:
    """The deltas and the result of a call, after as many tries as it takes.

    Raises:
        LlmError: the last try's failure, or `LlmTimeoutError`.
    """
    deadline = asyncio.get_running_loop().time() + policy.total_s
    for number in range(policy.retries + 1):
        seen = False
        try:
            async with aclosing(_one_try(provider, request, policy, deadline)) as items:
                async for item in items:
                    seen = True
                    yield item
            return
        except ProviderError as failure:
            if seen or not failure.again or number == policy.retries:
                raise failure.error from failure
            await _wait(retry_wait_s(number, failure.retry_after_s, jitter()), deadline, failure)


async def embed_call(
    provider: ModelProvider,
    request: EmbedRequest,
    policy: CallPolicy,
    jitter: Callable[[], float] = random.random,
) -> EmbedResult:
    """The vectors of texts, after as many tries as it takes.

    Raises:
        LlmError: the last try's failure, or `LlmTimeoutError`.
    """
    deadline = asyncio.get_running_loop().time() + policy.total_s
    for number in range(policy.retries + 1):
        try:
            async with asyncio.timeout_at(deadline):
                return await provider.embed(request)
        except ProviderError as failure:
            if not failure.again or number == policy.retries:
                raise failure.error from failure
            await _wait(retry_wait_s(number, failure.retry_after_s, jitter()), deadline, failure)
        except TimeoutError as error:
            raise _timeout(request.model, policy, total=True) from error
    raise AssertionError("unreachable: the last try returns or raises")


def retry_wait_s(number: int, retry_after_s: float | None, jitter: float) -> float:
    """Seconds before the next try.

    Args:
        number: of the try that failed, from 0.
        retry_after_s: what the provider asked for; it is obeyed, and lengthened by the jitter.
        jitter: in [0, 1); spreads callers that failed together.
    """
    backoff = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**number) * (0.5 + 0.5 * jitter)
    if retry_after_s is None:
        return backoff
    return max(0.0, retry_after_s) + 0.1 * backoff


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for (a number or an HTTP date); None if unclear."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None


async def _one_try(
    provider: ModelProvider, request: LlmRequest, policy: CallPolicy, deadline: float
) -> AsyncGenerator[LlmDelta | LlmResult, None]:
    loop = asyncio.get_running_loop()
    limit = deadline
    async with aclosing(provider.complete(request)) as items:
        while True:
            try:
                async with asyncio.timeout_at(limit):
                    item = await anext(items)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise _timeout(request.model, policy, total=limit == deadline) from error
            yield item
            limit = min(deadline, loop.time() + policy.chunk_s)


def _timeout(model: str, policy: CallPolicy, *, total: bool) -> LlmTimeoutError:
    if total:
        return LlmTimeoutError(
            f"the model `{model}` did not answer within {policy.total_s:g} s (O_LLM_TIMEOUT_S)",
            model=model,
            timeout_s=policy.total_s,
        )
    return LlmTimeoutError(
        f"the model `{model}` fell silent for {policy.chunk_s:g} s in the middle of its "
        "reply (O_LLM_CHUNK_TIMEOUT_S)",
        model=model,
        timeout_s=policy.chunk_s,
    )


async def _wait(wait_s: float, deadline: float, failure: ProviderError) -> None:
    if asyncio.get_running_loop().time() + wait_s >= deadline:
        raise failure.error from failure
    await asyncio.sleep(wait_s)
