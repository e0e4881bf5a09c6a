"""Sandboxes without asyncio: the same outcomes, from any thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from o_platform.tooling.fetch import Fetcher
from o_platform.tooling.local import local_grants
from o_sandbox.blocking import BlockingSandbox
from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.protocol import SandboxUnavailableError
from o_sandbox.tiers import Tiers
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox

pytestmark = pytest.mark.contract
DOUBLE = "import o\ndef _inner(x):\n    return x * 2\ndef double(x):\n    return _inner(x)"


@pytest.fixture
def sandbox(engine: EngineKeeper) -> Iterator[BlockingSandbox]:
    with BlockingSandbox(WasmSandbox(paths=[engine.path])) as made:
        yield made


def test_source_and_tools_run_from_several_threads(sandbox: BlockingSandbox) -> None:
    assert sandbox.run(DOUBLE, {"x": 21}).value == 42
    with ThreadPoolExecutor(4) as pool:
        values = pool.map(lambda x: sandbox.run(Tool("double", DOUBLE), {"x": x}).value, range(8))
    assert list(values) == [0, 2, 4, 6, 8, 10, 12, 14]


def test_limits_grants_and_output_are_those_of_the_sandbox(sandbox: BlockingSandbox) -> None:
    async def add(arguments: Mapping[str, Any]) -> Any:
        return arguments["a"] + 1

    heard: list[str] = []
    source = "import o\ndef f():\n    print('hi')\n    return o.call('add', a=1)"
    ran = sandbox.run(source, {}, grants={"add": add}, on_output=lambda _, text: heard.append(text))
    assert (ran.value, heard) == (2, ["hi\n"])
    assert sandbox.run(source, {}).reason == "denied"
    spin = "def f():\n    while True:\n        pass"
    assert sandbox.run(spin, {}, Limits(wall_s=20, cpu_s=0.2)).reason == "timeout"


def test_programs_grant_what_tools_of_agents_are_granted(sandbox: BlockingSandbox) -> None:
    granted = ["scratch", "o.sleep", "http.fetch:127.0.0.1", "secrets.use:KEY"]
    source = """
import o, pathlib, time
def f(path):
    time.sleep(0.01)
    pathlib.Path(path).write_text("kept")
    try:
        o.http.fetch(url="http://127.0.0.1/", headers={"x": o.secrets.use(name="KEY")})
    except o.HostError as refused:
        return [pathlib.Path(path).read_text(), o.secrets.use(name="KEY"), str(refused)]
"""
    grants = local_grants(granted, {"KEY": "hidden"}, Fetcher())
    text, secret, refused = sandbox.run(source, {"path": "/scratch/a"}, Limits(), grants).value
    assert (text, secret) == ("kept", "{{secret:KEY}}")
    assert "not a public address" in refused


@pytest.mark.parametrize("source", ["x = 1", "def a(): ...\ndef b(): ...", "def ("])
def test_source_without_one_function_is_refused(sandbox: BlockingSandbox, source: str) -> None:
    with pytest.raises(ValueError, match="source"):
        sandbox.run(source, {})


def test_a_tier_that_is_not_there_is_said() -> None:
    with (
        BlockingSandbox(Tiers({})) as sandbox,
        pytest.raises(SandboxUnavailableError, match="not offered here"),
    ):
        sandbox.run(DOUBLE, {"x": 1})
