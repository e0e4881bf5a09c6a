"""A recorded call runs again to the same bytes, and touches nothing outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.module import ModuleSandbox
from o_sandbox.protocol import HostCallError, Sandbox
from o_sandbox.recording import (
    Recording,
    RecordingError,
    ReplayDivergedError,
    differences,
    record,
    replay,
)
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox

pytestmark = pytest.mark.contract

PYTHON = """
import datetime, os, random, secrets, time, uuid
import o
def f(n):
    print(hash("text"), {"a", "b", "c"}, object())
    seen = [o.call("next", key=str(uuid.uuid4())), random.random(), secrets.token_hex(8)]
    try:
        o.call("next", key=-1)
    except o.HostError as error:
        seen.append(str(error))
    o.sleep(0.5)
    return [*seen, os.urandom(4).hex(), time.time_ns(), datetime.datetime.now().isoformat()] * n
"""
JAVASCRIPT = """
function f({ n }) {
  console.log(Date.now(), Math.random())
  return [o.call("next", { key: Math.random().toString() }), new Date().toISOString(), n]
}
"""


class _World:
    """Counts what happens outside."""

    def __init__(self) -> None:
        self.effects = 0

    async def next(self, arguments: Mapping[str, Any]) -> int:
        if arguments["key"] == -1:
            raise HostCallError("no such key")
        self.effects += 1
        return self.effects

    async def sleep(self, arguments: Mapping[str, Any]) -> None:
        self.effects += 1


@asynccontextmanager
async def _wasm(engine: EngineKeeper) -> AsyncIterator[WasmSandbox]:
    sandbox = WasmSandbox(paths=[engine.path])
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.close()


@pytest.mark.parametrize(("language", "code"), [("python", PYTHON), ("javascript", JAVASCRIPT)])
async def test_a_replay_gives_the_same_bytes_and_no_effect(
    engine: EngineKeeper, language: Any, code: str
) -> None:
    is_python = language == "python"
    sandbox: Sandbox = WasmSandbox(paths=[engine.path]) if is_python else ModuleSandbox()
    tool = Tool("f", code, language=language, tier="wasm" if is_python else "module")
    world = _World()
    grants = {"next": world.next, "o.sleep": world.sleep}
    await sandbox.start()
    try:
        first = await record(sandbox, tool, {"n": 2}, Limits(), grants)
        assert first.outcome.reason == "ok", first.outcome
        effects = world.effects
        read = Recording.from_json(first.to_json())
        assert read == first
        for _ in range(2):
            again = await replay(sandbox, read)
            assert again.value == first.outcome.value
            assert differences(first.outcome, again) == []
        assert world.effects == effects
        other = await record(sandbox, tool, {"n": 2}, Limits(), grants)
        assert "value" in differences(first.outcome, other.outcome)
        changed = msgspec.structs.replace(read, code=code.replace("key", "kez").encode())
        with pytest.raises(ReplayDivergedError, match="kez"):
            await replay(sandbox, changed)
    finally:
        await sandbox.close()


async def test_the_first_call_of_a_source_is_like_all_later_ones(engine: EngineKeeper) -> None:
    """It is compiled in that call, and later ones use what it compiled to."""
    code = "def f(n):\n    return [repr(object()), repr(f), repr({}), id('a' * n)]"
    async with _wasm(engine) as sandbox:
        seen = [await record(sandbox, Tool("f", code), {"n": 9}, Limits(), {}) for _ in range(3)]
        again = [await replay(sandbox, each) for each in seen]
    assert [each.outcome.reason for each in seen] == ["ok"] * 3
    assert [each.value for each in again] == [each.outcome.value for each in seen]
    assert seen[0].outcome.value == seen[1].outcome.value == seen[2].outcome.value


async def test_what_was_imported_before_a_call_is_immortal(engine: EngineKeeper) -> None:
    """So looking at it writes to no page of the image; what a call makes is freed as always."""
    code = """
import json, sys, decimal, asyncio
def f(n):
    found = [json, json.dumps, json.dumps.__code__, decimal.Decimal, asyncio.run.__doc__, sys.path]
    return [sum(map(sys._is_immortal, found)), sys._is_immortal([n]), sys.getrefcount([n])]
"""
    async with _wasm(engine) as sandbox:
        outcome = await sandbox.run(Tool("f", code), {"n": 2}, Limits(), {})
    assert outcome.value == [6, False, 1], outcome


async def test_what_the_compiler_warns_of_is_heard_in_every_call(engine: EngineKeeper) -> None:
    code = "def f(n):\n    return n is 2"
    async with _wasm(engine) as sandbox:
        for _ in range(2):
            outcome = await sandbox.run(Tool("f", code), {"n": 2}, Limits(), {})
            assert outcome.value is True
            assert "SyntaxWarning" in outcome.stderr


def test_what_is_no_recording_is_refused() -> None:
    with pytest.raises(RecordingError, match="no recording"):
        Recording.from_json(b"[]")
