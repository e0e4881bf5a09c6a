"""PID 1: recovery, giving up, stopping, and what it keeps from the genome's code."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from o_contracts.llm import LlmResult
from o_contracts.messages import ToolCall

pytestmark = pytest.mark.integration

TOOL_HEADER = '''
"""A tool for a test."""

from __future__ import annotations

import os
import time

from o_agent.sdk import tool
'''
HANG = (
    TOOL_HEADER
    + '''

@tool(tier="container")
def hang() -> str:
    """Never return."""
    while True:
        time.sleep(60)
'''
)
CALL_HANG = LlmResult(tool_calls=[ToolCall("c", "hang", "{}")], finish_reason="tool_calls")


def genome_with(folder: Path, files: dict[str, str]) -> Path:
    genome = folder / "genome"
    for name, text in {"genome.toml": "", **files}.items():
        path = genome / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return genome


def say_until_answered(instance: Any, agent_id: str, request_id: str) -> float:
    """Do what Envoy does with a reset connection: send the turn again. Returns the seconds."""
    started = time.perf_counter()
    while True:
        try:
            instance.say(agent_id, "hi", **{"x-request-id": request_id})
        except httpx.TransportError:
            continue
        return time.perf_counter() - started


def test_a_killed_worker_is_replaced_by_the_spare(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    instance.say(agent_id, "warm up")
    took_ms = []
    for number in range(7):
        spare = instance.spare_pid()
        active = instance.active_pid()
        os.kill(active, signal.SIGKILL)
        took_ms.append(1000 * say_until_answered(instance, agent_id, f"request-{number}"))
        assert instance.wait_active(other_than=active) == spare
    died = [line for line in instance.lines() if "died" in line["message"]]
    assert [(line["role"], line["reason"]) for line in died] == [("active", "signal SIGKILL")] * 7
    assert len(frame_bridge.commits) == 8
    # 20 ms on a quiet machine; a cold start, which this must not be, takes 750 ms there.
    assert statistics.median(took_ms) < 500, took_ms


def test_kills_under_load_cost_no_turn(instance: Any, frame_bridge: Any) -> None:
    agents = [frame_bridge.add_agent() for _ in range(4)]
    stop = threading.Event()

    def talk(agent_id: str) -> int:
        count = 0
        while not stop.is_set():
            say_until_answered(instance, agent_id, f"{agent_id}-{count}")
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        counts = [pool.submit(talk, agent_id) for agent_id in agents]
        for _ in range(5):
            instance.spare_pid()
            active = instance.active_pid()
            os.kill(active, signal.SIGKILL)
            instance.wait_active(other_than=active)
        stop.set()
        sent = sum(count.result(20) for count in counts)
    answered = {commit.messages[0].id for commit in frame_bridge.commits}
    assert len(frame_bridge.commits) == len(answered) == sent


def test_a_killed_spare_is_replaced_and_nobody_notices(instance: Any, frame_bridge: Any) -> None:
    spare = instance.spare_pid()
    os.kill(spare, signal.SIGKILL)
    instance.say(frame_bridge.add_agent(), "hi")
    assert instance.active_pid() != spare
    assert instance.spare_pid() in instance.children()


def test_workers_that_keep_dying_end_the_instance(
    start_instance: Callable[..., Any], tmp_path: Path
) -> None:
    genome = genome_with(tmp_path, {"tools/bad.py": "import os\nif True:\n    os._exit(3)\n"})
    instance = start_instance(genome)
    assert instance.process.wait(20) == 1
    last = instance.lines()[-1]
    assert last["level"] == "critical"
    assert "more than 20 workers died within 10 s" in last["message"]
    assert instance.lines()[0]["reason"] == "exit code 3"


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"genome.toml": "[params.max_steps]\nvalue = 1000\n"}, "genome.toml"),
        ({"tools/bad.py": "def broken(:\n"}, "tools/bad.py"),
        ({"loop/hooks.py": "raise ValueError('no')\n"}, "loop/hooks.py"),
        ({"prompts/system.md": "no placeholders"}, "prompts/system.md"),
    ],
)
def test_an_invalid_genome_is_exit_78_with_the_file(
    start_instance: Callable[..., Any], tmp_path: Path, files: dict[str, str], named: str
) -> None:
    instance = start_instance(genome_with(tmp_path, files))
    assert instance.process.wait(20) == 78
    assert instance.lines()[0]["file"] == named
    assert instance.lines()[-1]["level"] == "critical"


def test_a_missing_variable_is_said(start_instance: Callable[..., Any]) -> None:
    instance = start_instance(O_VARIANT="")
    assert instance.process.wait(20) == 64
    assert "O_VARIANT" in instance.lines()[-1]["message"]


def test_sigterm_lets_turns_finish(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    frame_bridge.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(instance.say, agent_id, "last words")
        assert frame_bridge.waiting.wait(5)
        instance.process.send_signal(signal.SIGTERM)
        instance.wait_message("stopping")
        frame_bridge.hold.set()
        assert answer.result(10)["messages"][0]["content"] == "echo: last words"
    assert instance.process.wait(10) == 0


def test_sigterm_does_not_wait_for_ever(instance: Any, frame_bridge: Any) -> None:
    frame_bridge.hold.clear()
    agent_id = frame_bridge.add_agent()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(instance.send, agent_id, {"input": "x"})
        assert frame_bridge.waiting.wait(5)
        started = time.monotonic()
        instance.process.send_signal(signal.SIGTERM)
        assert instance.process.wait(10) == 0
        assert time.monotonic() - started < 7.5
        frame_bridge.hold.set()
        assert answer.exception(10) is not None or answer.result().status_code >= 500


def test_a_worker_that_stands_still_is_replaced(
    start_instance: Callable[..., Any], frame_bridge: Any, tmp_path: Path
) -> None:
    hooks = (
        "def after_reply(reply, params):\n    while 'stand' in reply.text: pass\n    return reply"
    )
    instance = start_instance(genome_with(tmp_path, {"loop/hooks.py": hooks}))
    instance.wait_ready()
    agent_id = frame_bridge.add_agent()
    instance.say(agent_id, "hi")
    active, spare = instance.active_pid(), instance.spare_pid()
    with pytest.raises(httpx.TransportError):
        instance.say(agent_id, "stand still")
    assert instance.wait_active(other_than=active) == spare
    assert any("stands still" in line["message"] for line in instance.lines())
    assert instance.say(agent_id, "go on")["messages"][0]["content"] == "echo: go on"


def test_workers_end_when_pid_1_is_killed(instance: Any) -> None:
    spare = instance.spare_pid()
    workers = [instance.active_pid(), spare]
    instance.process.kill()
    instance.process.wait(5)
    instance.wait_gone(workers)


def test_a_stale_socket_is_replaced(
    start_instance: Callable[..., Any], short_tmp: Path, frame_bridge: Any
) -> None:
    (short_tmp / "agent.sock").write_text("left behind")
    instance = start_instance()
    instance.wait_ready()
    assert (short_tmp / "agent.sock").stat().st_mode & 0o777 == 0o666


def test_code_of_the_genome_sees_a_bare_environment(
    start_instance: Callable[..., Any], frame_bridge: Any, tmp_path: Path
) -> None:
    code = (
        TOOL_HEADER
        + '''

@tool(tier="container")
def look() -> str:
    """Look around."""
    return " ".join(sorted(os.environ))
'''
    )
    call = LlmResult(tool_calls=[ToolCall("c", "look", "{}")], finish_reason="tool_calls")
    frame_bridge.llm = lambda request: call if request.seq == 0 else LlmResult("ok")
    instance = start_instance(genome_with(tmp_path, {"tools/look.py": code}), HOST_VARIABLE="42")
    instance.wait_ready()
    response = instance.say(frame_bridge.add_agent(), "go")
    seen = response["messages"][1]["tool_return"].split()
    assert "LANG" in seen
    assert not [name for name in seen if name.startswith(("O_", "HOST_"))]


def test_tools_that_never_return_cost_neither_a_worker_nor_a_turn(
    start_instance: Callable[..., Any], frame_bridge: Any, tmp_path: Path
) -> None:
    frame_bridge.llm = lambda request: CALL_HANG if request.seq == 0 else LlmResult("ok")
    params = "[params.tool_timeout_s]\nvalue = 0.05\nmin = 0.01\nmax = 1\n"
    genome = genome_with(tmp_path, {"genome.toml": params, "tools/hang.py": HANG})
    instance = start_instance(genome)
    instance.wait_ready()
    agent_id = frame_bridge.add_agent()
    active = instance.active_pid()
    for number in range(2):
        response = instance.send(agent_id, {"input": f"go {number}"}).json()
        assert "no result within 0.05 s" in response["messages"][1]["tool_return"]
    assert instance.active_pid() == active


def test_a_tool_that_hangs_ends_when_its_turn_is_cancelled(
    start_instance: Callable[..., Any], frame_bridge: Any, tmp_path: Path
) -> None:
    frame_bridge.llm = lambda request: CALL_HANG
    params = "[params.tool_timeout_s]\nvalue = 60\nmin = 0.01\nmax = 60\n"
    genome = genome_with(tmp_path, {"genome.toml": params, "tools/hang.py": HANG})
    instance = start_instance(genome)
    instance.wait_ready()
    frame_bridge.cancelled_while_watched = True
    response = instance.say(frame_bridge.add_agent(), "go")
    assert response["stop_reason"]["stop_reason"] == "cancelled"
    assert "the user cancelled the turn" in response["messages"][1]["tool_return"]


def test_the_engine_outlives_workers_and_is_replaced_when_it_dies(
    start_instance: Callable[..., Any], frame_bridge: Any, tmp_path: Path
) -> None:
    code = (
        TOOL_HEADER
        + '''

@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
'''
    )
    call = LlmResult(
        tool_calls=[ToolCall("c", "add", '{"a": 2, "b": 40}')], finish_reason="tool_calls"
    )
    frame_bridge.llm = lambda request: call if request.seq == 0 else LlmResult("ok")
    instance = start_instance(genome_with(tmp_path, {"tools/add.py": code}))
    instance.wait_ready()
    agent_id = frame_bridge.add_agent()

    def added() -> str:
        message = instance.say(agent_id, "go")["messages"][1]
        return str(message["tool_return"])

    assert instance.named("o-python") == []  # until a tool asks for it
    assert added() == "42"
    (engine,) = instance.named("o-python")
    active = instance.active_pid()
    os.kill(active, signal.SIGKILL)
    instance.wait_active(other_than=active)
    assert added() == "42"
    assert instance.named("o-python") == [engine]
    os.kill(engine, signal.SIGKILL)
    instance.wait_message("the engine of python died: signal SIGKILL")
    assert added() == "42"
    assert instance.named("o-python") != [engine]
    children = instance.children()
    instance.process.send_signal(signal.SIGTERM)
    assert instance.process.wait(10) == 0
    instance.wait_gone(children)
