"""The contract gate: a bench instance of the candidate must behave as every instance must.

Three suites: the platform's own, the baseline's behaviour suite (frozen, so a variant cannot soften
what it is judged by), and the candidate's additions. Then the engine's counters: no worker killed
for lack of memory, peak memory under the policy's share of the limit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from o_platform.rollout.gates.behaviour import Case
from o_platform.rollout.gates.conversation import Answer, ContractError, Conversation, connect
from o_platform.rollout.ports import InstanceInfo, UsageInfo

ECHO: Final = "o/echo"
"""Built-in model whose answer is known in advance."""
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
    async with connect(instance.agent_socket) as client:
        for check in _PLATFORM:
            await check(client)
        for case in baseline:
            await _run_case(client, case, "the baseline's suite")
        names = {case.name for case in baseline}
        own = [case for case in candidate if case.name not in names]
        for case in own:
            await _run_case(client, case, "its own suite")
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
    conversation = Conversation(client)
    answers: list[Answer] = []
    try:
        for text in case.turns:
            answers.append(await conversation.say(text, case.model))
    except ContractError as error:
        raise ContractError(f"{suite}, case {case.name!r}: {error}") from error
    problem = case.problem(answers[-1].reply, "\n".join(answer.body for answer in answers))
    if problem is not None:
        raise ContractError(f"{suite}, case {case.name!r}: {problem}")


async def _is_healthy(client: httpx.AsyncClient) -> None:
    try:
        response = await client.get("/healthz")
    except httpx.HTTPError as error:
        raise ContractError(f"the health check failed: {error}") from error
    if response.status_code != 200:
        raise ContractError(f"the health check got status {response.status_code}")


async def _answers_a_plain_turn(client: httpx.AsyncClient) -> None:
    _expect_echo(await Conversation(client).say(_TEXT, ECHO), "a plain turn")


async def _answers_a_streaming_turn(client: httpx.AsyncClient) -> None:
    _expect_echo(await Conversation(client).stream(_TEXT, ECHO), "a streaming turn")


async def _keeps_answering(client: httpx.AsyncClient) -> None:
    conversation = Conversation(client)
    for number in range(_REPEATS):
        answer = await conversation.say(f"{_TEXT} {number}", ECHO)
        if str(number) not in answer.reply:
            raise ContractError(f"turn {number + 1} of a conversation lost what was said")


async def _refuses_malformed_requests(client: httpx.AsyncClient) -> None:
    conversation = Conversation(client)
    for body in _MALFORMED:
        status = await conversation.post_raw(body)
        if status != 422:
            raise ContractError(f"the malformed body {body!r} got status {status}, not 422")
    _expect_echo(await conversation.say(_TEXT, ECHO), "a turn after malformed ones")


def _expect_echo(answer: Answer, what: str) -> None:
    if _TEXT not in answer.reply:
        raise ContractError(f"{what} lost what was said: replied {answer.reply[:200]!r}")
    if answer.stop_reason != "end_turn":
        raise ContractError(f"{what} ended with {answer.stop_reason!r}, not 'end_turn'")


_PLATFORM: Final[tuple[Check, ...]] = (
    _is_healthy,
    _answers_a_plain_turn,
    _answers_a_streaming_turn,
    _keeps_answering,
    _refuses_malformed_requests,
)
