"""Environment, intensity, exit reasons, tools in sandboxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from o_agent.deaths import Intensity, describe_status
from o_agent.environment import Environment, EnvironmentProblem, take_environment
from o_agent.sdk import Tool, made_of
from o_agent.tool_runner import Runnable, ToolRunner
from o_contracts.messages import ToolCall
from o_sandbox.authoring import describe
from o_sandbox.tiers import local_tiers

pytestmark = pytest.mark.unit

FOUR = {"O_AGENT_SOCKET": "/a", "O_BRIDGE_SOCKET": "/b", "O_GENOME": "/g", "O_VARIANT": "v"}


def test_all_but_the_four_variables_are_forgotten() -> None:
    variables = FOUR | {"OPENAI_API_KEY": "x", "PATH": "/bin"}
    assert take_environment(variables) == Environment(Path("/a"), Path("/b"), Path("/g"), "v")
    assert variables == FOUR
    with pytest.raises(EnvironmentProblem, match="O_GENOME"):
        take_environment(FOUR | {"O_GENOME": ""})


def test_intensity_counts_within_its_window() -> None:
    intensity = Intensity(limit=3, window_s=10)
    assert [intensity.is_exceeded(now) for now in (0, 1, 2, 10.5, 11.5, 11.6)] == [
        *(False, False, False, False),
        *(False, True),
    ]


def test_exit_reasons_are_words() -> None:
    assert describe_status(9) == "signal SIGKILL"
    assert describe_status(78 << 8) == "exit code 78"


SOURCE = """
from o_agent.sdk import tool
import o

@tool(tier="container")
def shape(kind: str) -> object:
    '''Return something, or fail.'''
    match kind:
        case "dict":
            return {"a": [1, None]}
        case "half":
            return "\\ud800!"
        case "exit":
            raise SystemExit(3)
        case _:
            raise ValueError(kind)

@tool(tier="container", grants=["add"])
async def later(value: int) -> int:
    '''Ask the platform, on an event loop.'''
    print("asked")
    return o.call("add", a=value, b=1)
"""
shape, later = (made_of(SOURCE, definition) for definition in describe(SOURCE))


async def _host(tool_name: str, name: str, arguments: Mapping[str, Any]) -> Any:
    assert (tool_name, name) == ("later", "add")
    return arguments["a"] + arguments["b"]


@pytest.mark.parametrize(
    ("made", "arguments", "status", "text"),
    [
        (shape, '{"kind": "dict"}', "success", '{"a":[1,null]}'),
        (shape, '{"kind": "exit"}', "error", "Error in shape: the tool tried to exit (3)"),
        (shape, '{"kind": "half"}', "success", "?!"),
        (shape, '{"kind": "bad"}', "error", "ValueError: bad"),
        (shape, '{"kind": 3}', "error", "the arguments do not fit: Expected `str`, got `int`"),
        (later, '{"value": 1}', "success", "2"),
    ],
)
async def test_tools_run_in_their_tier_and_fail_as_results(
    made: Tool, arguments: str, status: str, text: str
) -> None:
    runner = ToolRunner(local_tiers(), 20.0)
    ran = await runner.run(ToolCall("c", made.name, arguments), Runnable.of_genome(made), _host)
    assert ran.result.status == status
    assert text in ran.result.tool_return
    assert ran.result.stdout == (["asked"] if made is later else None)
    assert (ran.sandbox_us > 0) is ("fit" not in text)
