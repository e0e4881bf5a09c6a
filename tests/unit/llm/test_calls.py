from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_contracts.llm import LlmDelta, LlmRequest, LlmResult
from o_platform.errors import LlmError, LlmRateLimitedError, LlmTimeoutError
from o_platform.llm.calls import (
    LONGEST_WAIT_S,
    CallPolicy,
    ProviderError,
    complete_call,
    parse_retry_after,
    retry_wait_s,
)

pytestmark = pytest.mark.unit

REQUEST = LlmRequest(model="a/b", messages=[])
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QUICK = CallPolicy(total_s=5, chunk_s=5, retries=2)

Step = LlmDelta | LlmResult | Exception | float


class Rehearsed:
    """A provider whose tries are lists of steps: items, failures, seconds of silence."""

    def __init__(self, *tries: list[Step]) -> None:
        self.tries = list(tries)
        self.closed = 0

    async def complete(self, request: LlmRequest) -> AsyncGenerator[LlmDelta | LlmResult, None]:
        try:
            for step in self.tries.pop(0):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1


def failed(*, again: bool = True, after: float | None = 0.0) -> ProviderError:
    return ProviderError(LlmRateLimitedError("busy"), again=again, retry_after_s=after)


async def run(provider: Rehearsed, policy: CallPolicy = QUICK) -> list[LlmDelta | LlmResult]:
    return [item async for item in complete_call(provider, REQUEST, policy, lambda: 0.0)]


async def test_tries_until_it_works() -> None:
    provider = Rehearsed([failed()], [failed()], [LlmResult("done")])
    assert await run(provider) == [LlmResult("done")]
    assert provider.closed == 3


async def test_gives_up_after_the_retries() -> None:
    provider = Rehearsed([failed()], [failed()], [failed()], [LlmResult("never")])
    with pytest.raises(LlmRateLimitedError, match="busy"):
        await run(provider)
    assert len(provider.tries) == 1


async def test_does_not_repeat_what_was_seen_or_cannot_succeed() -> None:
    for steps in ([LlmDelta("a"), failed()], [failed(again=False)], [LlmError("no")]):
        provider = Rehearsed(list(steps), [LlmResult("never")])
        with pytest.raises(LlmError):
            await run(provider)
        assert len(provider.tries) == 1


async def test_does_not_wait_past_the_deadline() -> None:
    with pytest.raises(LlmRateLimitedError):
        await run(Rehearsed([failed(after=60.0)], [LlmResult("late")]))


async def test_silence_is_bounded_in_all_and_between_chunks() -> None:
    policy = CallPolicy(total_s=0.05, chunk_s=5, retries=0)
    with pytest.raises(LlmTimeoutError, match=r"within 0\.05 s \(O_LLM_TIMEOUT_S\)"):
        await run(Rehearsed([1.0]), policy)
    policy = CallPolicy(total_s=5, chunk_s=0.05, retries=0)
    provider = Rehearsed([LlmDelta("a"), 1.0])
    with pytest.raises(LlmTimeoutError, match=r"silent for 0\.05 s .*O_LLM_CHUNK_TIMEOUT_S"):
        await run(provider, policy)
    assert provider.closed == 1
    assert len(await run(Rehearsed([0.1, LlmDelta("a"), LlmResult("a")]), policy)) == 2


@given(st.integers(0, 40), st.floats(0, 1, exclude_max=True))
def test_waits_grow_and_stay_bounded(number: int, jitter: float) -> None:
    wait = retry_wait_s(number, None, jitter)
    assert 0 < wait <= LONGEST_WAIT_S
    assert retry_wait_s(number + 1, None, jitter) >= wait
    assert retry_wait_s(number, 7.0, jitter) >= 7.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2.5", 2.5),
        ("-1", 0.0),
        ("Fri, 02 Jan 2026 03:04:15 GMT", 10.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("Fri, 02 Jan 2026 03:04:15 -0000", None),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds
