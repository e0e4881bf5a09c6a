"""What every tier that runs Python owes its callers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome, Reason
from o_sandbox.protocol import Grants, HostCallError, Sandbox, SandboxError
from o_sandbox.tool import Tool

pytestmark = pytest.mark.contract


async def _run(sandbox: Sandbox, code: str, grants: Grants | None = None, **limits: Any) -> Outcome:
    tool = Tool("f", code, tier="restricted")
    return await sandbox.run(tool, {"x": 4}, Limits(**{"wall_s": 30.0, **limits}), grants or {})


async def _add(arguments: Mapping[str, Any]) -> Any:
    if arguments["a"] < 0:
        raise HostCallError("no number below 0")
    return arguments["a"] + arguments["b"]


async def _hang(_arguments: Mapping[str, Any]) -> None:
    await asyncio.Event().wait()


async def test_a_value_output_and_use_come_back(sandbox: Sandbox) -> None:
    code = "def f(x):\n    print('four', x)\n    return {'n': [x, 1.5, None, True, 'ü']}"
    heard: list[str] = []
    outcome = await sandbox.run(
        Tool("t", code, "f"),
        {"x": 4},
        Limits(wall_s=30),
        {},
        on_output=lambda _, s: heard.append(s),
    )
    assert outcome.reason == "ok", outcome.error
    assert outcome.value == {"n": [4, 1.5, None, True, "ü"]}
    assert outcome.stdout == "".join(heard) == "four 4\n"
    assert 0 < outcome.used.wall_s < 30
    assert outcome.used.output_bytes > len("four 4\n")


@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        ("def f(x):\n    return x / 0", "error", "ZeroDivisionError"),
        ("def f(x):\n    return (", "error", "SyntaxError"),
        ("def g(x):\n    return x", "error", "no function"),
        ("def f():\n    return 1", "error", "TypeError"),
        ("def f(x):\n    while True:\n        pass", "timeout", "CPU"),
        ("def f(x):\n    return len([0] * 10 ** 9)", "memory", "memory"),
        ("def f(x):\n    for _ in range(100000):\n        print('abcdefgh')", "output", "bytes"),
        ("def f(x):\n    return 'a' * 100000", "output", "bytes"),
        ("import o\ndef f(x):\n    return o.call('absent', a=1)", "denied", "absent"),
        ("def f(x):\n    return f(x)", "error", "RecursionError"),
    ],
)
async def test_each_end_has_its_reason(
    sandbox: Sandbox, code: str, reason: Reason, says: str
) -> None:
    outcome = await _run(sandbox, code, cpu_s=0.5, output_bytes=20_000)
    assert (outcome.reason, outcome.value) == (reason, None), outcome
    assert says in outcome.error
    assert len(outcome.stdout) <= 20_000
    assert (await _run(sandbox, "def f(x):\n    return x")).value == 4


async def test_an_error_names_the_tool_s_line(sandbox: Sandbox) -> None:
    outcome = await _run(sandbox, "def f(x):\n    y = x\n    raise ValueError('odd')")
    assert "line 3" in outcome.error
    assert "ValueError: odd" in outcome.error


async def test_the_host_is_called_by_grant_and_each_call_is_recorded(sandbox: Sandbox) -> None:
    code = """
import o
def f(x):
    try:
        o.call('add', a=-1, b=0)
    except o.HostError as error:
        refused = str(error)
    return [o.call('add', a=x, b=1), refused]
"""
    outcome = await _run(sandbox, code, {"add": _add})
    assert outcome.value == [5, "no number below 0"], outcome
    assert [(call.name, call.outcome) for call in outcome.calls] == [
        ("add", "error"), ("add", "ok"),
    ]  # fmt: skip
    assert outcome.used.host_calls == 2


async def test_what_is_not_granted_ends_the_call(sandbox: Sandbox) -> None:
    code = """
import o
def f(x):
    try:
        o.call('other')
    except BaseException:
        pass
    return o.call('add', a=1, b=1)
"""
    outcome = await _run(sandbox, code, {"add": _add})
    assert outcome.reason == "denied"
    assert "other" in outcome.error
    assert (outcome.calls[0].name, outcome.calls[0].outcome) == ("other", "denied")


async def test_calls_of_the_host_are_bounded_in_number_and_time(sandbox: Sandbox) -> None:
    code = "import o\ndef f(x):\n    while True:\n        o.call('add', a=1, b=1)"
    many = await _run(sandbox, code, {"add": _add}, host_calls=3)
    assert many.reason == "denied"
    assert "more than 3" in many.error
    assert len(many.calls) <= 4
    hung = await _run(sandbox, "import o\ndef f(x):\n    o.call('hang')", {"hang": _hang}, wall_s=1)
    assert hung.reason == "timeout"
    assert (await _run(sandbox, "def f(x):\n    return x")).value == 4


@pytest.mark.parametrize("failure", [OSError("no route"), TimeoutError("slow"), KeyError("x")])
async def test_a_host_function_that_breaks_is_the_hosts_failure_and_called_once(
    sandbox: Sandbox, failure: Exception
) -> None:
    asked = []

    async def fail(arguments: Mapping[str, Any]) -> None:
        asked.append(arguments)
        raise failure

    with pytest.raises(SandboxError, match=r"'fail' failed.*(route|slow|x)"):
        await _run(sandbox, "import o\ndef f(x):\n    o.call('fail')", {"fail": fail})
    assert len(asked) == 1
    assert (await _run(sandbox, "def f(x):\n    return x")).value == 4


async def test_nothing_stays_from_one_call_to_the_next(sandbox: Sandbox) -> None:
    first = "import math\nseen = [1]\ndef f(x):\n    seen.append(x)\n    return len(seen)"
    assert [(await _run(sandbox, first)).value for _ in range(3)] == [2, 2, 2]


async def test_calls_run_side_by_side(sandbox: Sandbox) -> None:
    gate = asyncio.Barrier(2)

    async def meet(_arguments: Mapping[str, Any]) -> bool:
        await gate.wait()
        return True

    code = "import o\ndef f(x):\n    return o.call('meet')"
    ends = await asyncio.gather(*(_run(sandbox, code, {"meet": meet}) for _ in range(2)))
    assert [end.value for end in ends] == [True, True]


async def test_a_caller_that_stops_waiting_stops_the_call(sandbox: Sandbox) -> None:
    begun = asyncio.Event()

    async def begin(_arguments: Mapping[str, Any]) -> None:
        begun.set()

    code = "import o\ndef f(x):\n    o.call('begin')\n    while True:\n        pass"
    call = asyncio.create_task(_run(sandbox, code, {"begin": begin}, cpu_s=20))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await _run(sandbox, "def f(x):\n    return x")).value == 4


async def test_values_of_any_size_and_depth_end_in_an_outcome(sandbox: Sandbox) -> None:
    assert (await _run(sandbox, "def f(x):\n    return [x ** 64, -(x ** 40)]")).value == [
        4**64, -(4**40),
    ]  # fmt: skip
    nested = "def f(x):\n    a = []\n    for _ in range({}):\n        a = [a]\n    return a"
    for depth in (200, 700, 900, 950, 970, 990, 100_000):
        outcome = await _run(sandbox, nested.format(depth))
        assert outcome.reason in ("ok", "error", "trap"), outcome
        assert outcome.is_ok or depth > 200
