"""The contract gate: a bench instance of the candidate must behave as every instance must.

Three suites: the platform's own, the baseline's behaviour suite (frozen, so a variant cannot soften
what it is judged by), and the candidate's additions. Then the engine's counters: no worker killed
for lack of memory, peak memory under the policy's share of the limit.

The platform's own turns use the model `o/echo`, of which is known to the letter what it says. There
is nothing to clean up in it, so the agent must say just that: a variant that adds something (what
it found on the machine, say) is out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from o_agent.behaviour import Case, problems
from o_platform.rollout.gates.conversation import Answer, ContractError, Conversation, connect
from o_platform.rollout.ports import InstanceInfo, UsageInfo

ECHO: Final = "o/echo"
"""Built-in model whose answer is known in advance."""
TOTAL_S: Final = 120.0
"""How long all suites may take together, in seconds."""
_TEXT: Final = "contract check: naïve café ☕ 0123456789"
_REPEATS: Final = 12
_MALFORMED: Final = (
    b"{",
    b"[]",
    b'{"messages": "not a list"}',
    b'{"messages": [{"role": "nobody", "content": "x"}]}',
    b'{"messages": [{"role": "user", "content": 7}]}',
    b'{"messages": []}',
)

Check = Callable[[httpx.AsyncClient], Awaitable[None]]


async def check_contract(
    instance: InstanceInfo, baseline: Sequence[Case], candidate: Sequence[Case]
) -> str:
    """Run every suite; returns a sentence about what was checked.

    Raises:
        ContractError: the first thing that is wrong.
    """
    names = {case.name for case in baseline}
    own = [case for case in candidate if case.name not in names]
    try:
        async with asyncio.timeout(TOTAL_S), connect(instance.agent_socket) as client:
            for check in _PLATFORM:
                await check(client)
            for case in baseline:
                await _run_case(client, case, "the baseline's suite")
            for case in own:
                await _run_case(client, case, "its own suite")
    except TimeoutError as error:
        raise ContractError(f"the suites took longer than {TOTAL_S:g} s together") from error
    return (
        f"{len(_PLATFORM)} checks of the platform, {len(baseline)} cases of the baseline's suite "
        f"and {len(own)} of its own passed"
    )


def check_usage(usage: UsageInfo, limit_bytes: int, max_ratio: float) -> str | None:
    """What is wrong with the memory an instance used, if anything."""
    if usage.oom_kills:
        return f"ran out of memory {usage.oom_kills} times (limit {limit_bytes >> 20} MiB)"
    if usage.memory_peak_bytes > limit_bytes * max_ratio:
        return (
            f"used {usage.memory_peak_bytes >> 20} MiB of {limit_bytes >> 20} MiB; the policy "
            f"allows {max_ratio:.0%}"
        )
    return None


async def _run_case(client: httpx.AsyncClient, case: Case, suite: str) -> None:
    where = f"{suite}, case {case.name!r}"
    conversation = Conversation(client)
    try:
        for text in case.inputs:
            answer = await conversation.say(text, max_steps=case.max_steps)
    except ContractError as error:
        raise ContractError(f"{where}: {error}") from error
    if wrong := problems(case, answer.data):
        raise ContractError(f"{where}: {'; '.join(wrong)}")


async def _is_healthy(client: httpx.AsyncClient) -> None:
    try:
        response = await client.get("/healthz")
    except httpx.HTTPError as error:
        raise ContractError(f"the health check failed: {error}") from error
    if response.status_code != 200:
        raise ContractError(f"the health check got status {response.status_code}")


async def _answers_a_plain_turn(client: httpx.AsyncClient) -> None:
    _expect_echo(await Conversation(client).say(_TEXT, model=ECHO), "a plain turn")


async def _answers_a_streaming_turn(client: httpx.AsyncClient) -> None:
    _expect_echo(await Conversation(client).stream(_TEXT, model=ECHO), "a streaming turn")


async def _keeps_answering(client: httpx.AsyncClient) -> None:
    conversation = Conversation(client)
    for number in range(_REPEATS):
        text = f"{_TEXT} {number}"
        _expect_echo(await conversation.say(text, model=ECHO), f"turn {number + 1}", text)


async def _refuses_malformed_requests(client: httpx.AsyncClient) -> None:
    conversation = Conversation(client)
    for body in _MALFORMED:
        status = await conversation.post_raw(body)
        if status != 422:
            raise ContractError(f"the malformed body {body!r} got status {status}, not 422")
    _expect_echo(await conversation.say(_TEXT, model=ECHO), "a turn after malformed ones")


def _expect_echo(answer: Answer, what: str, text: str = _TEXT) -> None:
    if answer.reply != f"echo: {text}":
        raise ContractError(
            f"{what}: the model said {f'echo: {text}'!r}, the agent {_short(answer.reply)}"
        )
    if answer.stop_reason != "end_turn":
        raise ContractError(f"{what} ended with {answer.stop_reason!r}, not 'end_turn'")


def _short(text: str) -> str:
    return repr(text if len(text) <= 300 else f"{text[:300]}…")


_PLATFORM: Final[tuple[Check, ...]] = (
    _is_healthy,
    _answers_a_plain_turn,
    _answers_a_streaming_turn,
    _keeps_answering,
    _refuses_malformed_requests,
)
