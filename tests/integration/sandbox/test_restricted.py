"""The tier `restricted` with its real, jailed workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import HostCallError, SandboxError
from o_sandbox.restricted.sandbox import RestrictedSandbox
from o_sandbox.tool import Tool

pytestmark = pytest.mark.integration


@pytest.fixture
async def sandbox() -> AsyncIterator[RestrictedSandbox]:
    sandbox = RestrictedSandbox()
    await sandbox.start()
    yield sandbox
    await sandbox.close()


async def _run(
    sandbox: RestrictedSandbox, source: str, grants: Mapping[str, Any] | None = None, **limits: Any
) -> Outcome:
    tool = Tool("f", source, tier="restricted")
    return await sandbox.run(tool, {}, Limits(**{"wall_s": 20.0, **limits}), grants or {})


async def test_what_ends_a_worker_ends_one_call_only(sandbox: RestrictedSandbox) -> None:
    endless = "def f():\n    return sum(range(10 ** 14))"
    waiting = "import o\ndef f():\n    o.sleep(60)"
    large = "def f():\n    return len([0] * 10 ** 9)"
    deep = "def f():\n    x = []\n    for _ in range(10 ** 5):\n        x = [x]\n    return x"

    async def sleep(arguments: Mapping[str, Any]) -> None:
        await asyncio.sleep(arguments["seconds"])

    ends = await asyncio.gather(
        _run(sandbox, endless, cpu_s=0.2),
        _run(sandbox, waiting, {"o.sleep": sleep}, wall_s=0.5),
        _run(sandbox, large),
        _run(sandbox, deep),
    )
    assert [end.reason for end in ends] == ["timeout", "timeout", "memory", "error"]
    assert "0.2 s of CPU" in ends[0].error
    assert 0.1 < ends[0].used.cpu_s < 1.0
    assert "within 0.5 s" in ends[1].error
    assert (await _run(sandbox, "def f():\n    return 'clean'")).value == "clean"


async def test_the_host_does_what_is_granted_and_keeps_account(sandbox: RestrictedSandbox) -> None:
    async def add(arguments: Mapping[str, Any]) -> int:
        if arguments["a"] < 0:
            raise HostCallError("only numbers from 0 on")
        return int(arguments["a"] + arguments["b"])

    source = """
import o
def f():
    print('before')
    total = o.call('add', a=1, b=2)
    try:
        o.call('add', a=-1, b=2)
    except o.HostError as error:
        return [total, str(error)]
"""
    heard: list[str] = []
    tool = Tool("f", source, tier="restricted")
    outcome = await sandbox.run(
        tool, {}, Limits(), {"add": add}, on_output=lambda _, text: heard.append(text)
    )
    assert outcome.value == [3, "only numbers from 0 on"]
    assert outcome.stdout == "".join(heard) == "before\n"
    assert [(call.name, call.outcome) for call in outcome.calls] == [
        ("add", "ok"),
        ("add", "error"),
    ]
    assert outcome.used.host_calls == 2

    outcome = await _run(sandbox, source)
    assert outcome.reason == "denied"
    assert outcome.calls[0].outcome == "denied"


async def test_the_hosts_own_failure_is_an_exception(sandbox: RestrictedSandbox) -> None:
    async def broken(_: Mapping[str, Any]) -> None:
        raise RuntimeError("a disk is full")

    with pytest.raises(SandboxError, match="a disk is full"):
        await _run(sandbox, "import o\ndef f():\n    o.call('broken')", {"broken": broken})
    with pytest.raises(ValueError, match="not wasm"):
        await sandbox.run(Tool("f", b"\0asm", language="wasm"), {}, Limits(), {})
    assert (await _run(sandbox, "def f():\n    return 1")).value == 1


async def test_a_cancelled_call_frees_its_place() -> None:
    sandbox = RestrictedSandbox(1)
    await sandbox.start()
    call = asyncio.create_task(_run(sandbox, "def f():\n    return sum(range(10 ** 14))"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await _run(sandbox, "def f():\n    return 1")).value == 1
    await sandbox.close()
    with pytest.raises(SandboxError, match="not started"):
        await _run(sandbox, "def f():\n    return 1")


async def test_many_calls_leave_nothing_behind(sandbox: RestrictedSandbox) -> None:
    source = "import json\ndef f():\n    print('x' * 100)\n    return json.loads('[1, 2]')"
    first = await _run(sandbox, source)
    for _ in range(300):
        last = await _run(sandbox, source)
    assert last.value == [1, 2]
    assert last.used.memory_bytes - first.used.memory_bytes < 1_000_000
