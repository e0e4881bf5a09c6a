"""Environment, intensity, exit reasons, tools on threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from o_agent.environment import Environment, EnvironmentProblem, take_environment
from o_agent.sdk import tool
from o_agent.tool_runner import ToolRunner
from o_agent.zygote import Intensity, describe_status
from o_contracts.messages import ToolCall

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


@tool
def shape(kind: str) -> object:
    """Return something, or fail."""
    match kind:
        case "dict":
            return {"a": [1, None]}
        case "half":
            return "\ud800!"
        case "exit":
            raise SystemExit(3)
        case "stop":
            raise StopIteration
        case _:
            raise ValueError(kind)


@tool
async def later(value: int) -> int:
    """Return it on the event loop."""
    return value + 1


@pytest.mark.parametrize(
    ("name", "arguments", "status", "text"),
    [
        ("shape", '{"kind": "dict"}', "success", '{"a":[1,null]}'),
        ("shape", '{"kind": "exit"}', "error", "Error in shape: the tool tried to exit (3)"),
        ("shape", '{"kind": "stop"}', "error", "Error in shape: StopIteration: "),
        ("shape", '{"kind": "half"}', "success", "?!"),
        ("shape", '{"kind": "bad"}', "error", "Error in shape: ValueError: bad"),
        ("later", '{"value": 1}', "success", "2"),
    ],
)
async def test_tools_run_and_fail_as_results(
    name: str, arguments: str, status: str, text: str
) -> None:
    runner = ToolRunner({"shape": shape, "later": later}, 5.0)
    result = await runner.run(ToolCall("c", name, arguments))
    assert (result.status, result.tool_return) == (status, text)
