"""A change to a gene changes what the instance does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o_agent.behaviour import FILE, parse_cases, problems
from o_contracts.llm import LlmResult
from o_contracts.messages import ToolCall

pytestmark = pytest.mark.integration

SEED_GENOME = Path(__file__).parents[3] / "agent_images" / "genomes" / "default"
HOOKS = '''"""Hooks."""

from dataclasses import replace

from o_contracts.llm import LlmMessage


def before_step(step, params):
    """Add guidance."""
    guided = [*step.messages, LlmMessage("system", f"Step {step.index}.")]
    return replace(step, messages=guided, settings={"temperature": params["temperature"]})


def after_reply(reply, params):
    """Shout."""
    return replace(reply, text=reply.text.upper())
'''


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SEED_GENOME, tmp_path / "genome"))


def started(start_instance: Callable[..., Any], genome: Path) -> Any:
    instance = start_instance(genome)
    instance.wait_ready()
    return instance


def set_param(genome: Path, name: str, old: str, new: str) -> None:
    file = genome / "genome.toml"
    text = file.read_text()
    head, table = text.split(f"[params.{name}]\nvalue = {old}\n")
    file.write_text(f"{head}[params.{name}]\nvalue = {new}\n{table}")


def test_the_seed_genome_passes_its_own_tests(instance: Any, frame_bridge: Any) -> None:
    cases = parse_cases((SEED_GENOME / FILE).read_bytes())
    assert len(cases) >= 3
    for case in cases:
        agent_id = frame_bridge.add_agent()
        for text in case.inputs:
            body = {"input": text} | ({"max_steps": case.max_steps} if case.max_steps else {})
            response = instance.send(agent_id, body).json()
        assert problems(case, response) == []


def test_history_and_temperature(
    start_instance: Callable[..., Any], frame_bridge: Any, genome: Path
) -> None:
    set_param(genome, "history_messages", "60", "4")
    set_param(genome, "temperature", "1.0", "0.25")
    instance = started(start_instance, genome)
    agent_id = frame_bridge.add_agent()
    for number in range(4):
        instance.say(agent_id, f"message {number}")
    window = frame_bridge.llm_requests[-1].messages
    said = [message.content for message in window if message.role == "user"]
    assert said == ["message 1", "message 2", "message 3"]
    assert "2 earlier messages of this conversation are not shown" in window[0].content
    assert frame_bridge.opened[0].history == 4
    assert frame_bridge.llm_requests[-1].settings == {"temperature": 0.25}


def test_max_steps(start_instance: Callable[..., Any], frame_bridge: Any, genome: Path) -> None:
    set_param(genome, "max_steps", "50", "2")
    call = ToolCall("c", "count_words", '{"text": "a"}')
    frame_bridge.llm = lambda _: LlmResult(tool_calls=[call], finish_reason="tool_calls")
    instance = started(start_instance, genome)
    agent_id = frame_bridge.add_agent()
    assert instance.say(agent_id, "go")["usage"]["step_count"] == 2
    asked = instance.send(agent_id, {"input": "go", "max_steps": 4}).json()
    assert asked["usage"]["step_count"] == 4


def test_prompt_and_memory_policy(
    start_instance: Callable[..., Any], frame_bridge: Any, genome: Path
) -> None:
    (genome / "prompts" / "system.md").write_text("Rhyme.\n{{ memory }}\n{{ system }}\n")
    (genome / "blocks" / "policy.toml").write_text('guidance = "Mind the gap."\n')
    instance = started(start_instance, genome)
    instance.say(frame_bridge.add_agent(), "hi")
    system = frame_bridge.llm_requests[0].messages[0].content
    assert system.startswith("Rhyme.\n<memory_blocks>\nMind the gap.")
    assert system.endswith("You are a test.")


def test_hooks(start_instance: Callable[..., Any], frame_bridge: Any, genome: Path) -> None:
    (genome / "loop" / "hooks.py").write_text(HOOKS)
    instance = started(start_instance, genome)
    agent_id = frame_bridge.add_agent()
    assert instance.say(agent_id, "hi")["messages"][0]["content"] == "ECHO: HI"
    request = frame_bridge.llm_requests[0]
    assert request.messages[-1].content == "Step 0."
    assert request.settings == {"temperature": 1.0}
    path = f"/v1/agents/{agent_id}/messages/stream"
    streamed = instance.http.post(path, json={"input": "a b", "stream_tokens": True}).text
    assert '"content":"ECHO: A B"' in streamed


def test_a_failing_hook_is_a_genome_error(
    start_instance: Callable[..., Any], frame_bridge: Any, genome: Path
) -> None:
    (genome / "loop" / "hooks.py").write_text("def after_reply(reply, params):\n    return 1 / 0\n")
    instance = started(start_instance, genome)
    response = instance.send(frame_bridge.add_agent(), {"input": "x"})
    assert response.status_code == 500
    assert response.json()["code"] == "genome_error"
    assert "ZeroDivisionError" in response.json()["detail"]
    assert frame_bridge.abandoned[0].code == "genome_error"
