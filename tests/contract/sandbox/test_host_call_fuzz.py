"""What guests send to granted functions arrives as it was sent, or is refused in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.protocol import Sandbox
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox

pytestmark = pytest.mark.contract

LIMITS = Limits(wall_s=60.0, cpu_s=30.0, host_calls=1000)
SEND = """
import o
def f(cases):
    answers = []
    for each in cases:
        try:
            answers.append([o.call('echo', **each)])
        except o.HostError as error:
            answers.append(str(error))
    return answers
"""
SEND_RAW = """
import wit_world
def f(cases):
    answers = []
    for each in cases:
        try:
            answers.append([wit_world.host_call('echo', each)])
        except Exception as error:
            answers.append(error.value)
    return answers
"""
keys = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
cases = st.lists(st.dictionaries(keys, values, max_size=4), min_size=1, max_size=60)
raw_cases = st.lists(
    st.text(max_size=40)
    | values.map(json.dumps)
    | st.integers(1, 20_000).map(lambda n: '{"a":' + "[" * n + "]" * n + "}")
    | st.floats().map(lambda number: json.dumps({"a": number})),
    min_size=1,
    max_size=40,
)


async def echo(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return dict(arguments)


many = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many
@given(sent=cases)
async def test_arguments_come_back_as_they_were_sent(
    sent: list[dict[str, Any]], sandbox: Sandbox
) -> None:
    outcome = await sandbox.run(Tool("f", SEND), {"cases": sent}, LIMITS, {"echo": echo})
    assert outcome.is_ok, outcome
    assert outcome.value == [[case] for case in sent]
    assert [call.outcome for call in outcome.calls] == ["ok"] * len(sent)


@many
@given(sent=raw_cases)
async def test_text_that_is_no_object_is_refused_in_words(
    sent: list[str], engine: EngineKeeper
) -> None:
    sandbox = WasmSandbox(paths=[engine.path])
    try:
        outcome = await sandbox.run(Tool("f", SEND_RAW), {"cases": sent}, LIMITS, {"echo": echo})
    finally:
        await sandbox.close()
    assert outcome.is_ok, outcome
    for text, answer in zip(sent, outcome.value, strict=True):
        if isinstance(answer, list):
            assert _are_same(answer[0], text)
        else:
            assert answer.startswith(("these are no keyword arguments", "the answer cannot"))


def _are_same(first: str, second: str) -> bool:
    """Whether two texts are the same JSON."""
    try:
        return bool(json.loads(first) == json.loads(second))
    except RecursionError:  # brackets in brackets, deeper than what this can read
        return first.split() == second.split()
