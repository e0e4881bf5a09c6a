"""`agent_state`, as a tool in the tier `wasm` finds it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from o_sandbox.authoring import describe_function
from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import HostCallError, HostFunction
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox

pytestmark = pytest.mark.contract
AGENT = {"id": "agent-1", "name": "Eve", "tags": ["a"], "metadata": {"x": 1}, "description": None}


@pytest.fixture
async def sandbox(engine: EngineKeeper) -> AsyncIterator[WasmSandbox]:
    sandbox = WasmSandbox(paths=[engine.path])
    await sandbox.start()
    yield sandbox
    await sandbox.close()


class Agent:
    """Answers host calls; `asked` are those that were made."""

    def __init__(self) -> None:
        self.texts = {"human": "Ada", "rules": "none"}
        self.asked: list[str] = []

    def grants(self, *names: str) -> dict[str, HostFunction]:
        known = {"agent.read": self._agent, "memory.read": self._read, "memory.write": self._write}
        return {name: known[name] for name in names or known}

    async def _agent(self, arguments: Mapping[str, Any]) -> Any:
        self.asked.append("agent.read")
        return AGENT

    async def _read(self, arguments: Mapping[str, Any]) -> Any:
        self.asked.append("memory.read")
        return [
            {"id": f"block-{label}", "label": label, "value": value, "limit": 10,
             "description": "d", "read_only": label == "rules"}
            for label, value in self.texts.items()
        ]  # fmt: skip

    async def _write(self, arguments: Mapping[str, Any]) -> Any:
        if arguments["label"] == "rules":
            raise HostCallError("the memory block is read-only")
        self.asked.append("memory.write")
        self.texts[arguments["label"]] = arguments["value"]


async def run(sandbox: WasmSandbox, body: str, grants: dict[str, HostFunction]) -> Outcome:
    """What a function with this body comes to."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    source = f"def f(agent_state: 'AgentState'):\n    'd'\n{lines}\n"
    definition = describe_function(source)
    tool = Tool("f", definition.code(source), definition.entry)
    return await sandbox.run(tool, {}, Limits(), grants)


async def test_it_is_the_agent_and_its_memory(sandbox: WasmSandbox) -> None:
    agent = Agent()
    body = """memory = agent_state.memory
block = memory.get_block("human")
memory.update_block_value("human", "Eve")
seen = [block.value, memory.get_block("human").value, agent_state.blocks[0].value]
block.value = "Zoe"
about = [block.limit, block.description, block.read_only, memory.list_block_labels()]
agent = [agent_state.id, agent_state.name, agent_state.tags, agent_state.metadata]
return [seen, about, agent, agent_state.description]"""
    outcome = await run(sandbox, body, agent.grants())
    assert outcome.is_ok, outcome.error
    assert outcome.value == [
        ["Eve", "Eve", "Eve"],
        [10, "d", False, ["human", "rules"]],
        ["agent-1", "Eve", ["a"], {"x": 1}],
        None,
    ]
    assert agent.texts["human"] == "Zoe"
    assert agent.asked == ["memory.read", "memory.write", "memory.write", "agent.read"]


async def test_what_cannot_be_done_is_said(sandbox: WasmSandbox) -> None:
    agent = Agent()
    for body, says in (
        ("agent_state.memory.get_block('x')", "the blocks are: human, rules"),
        ("agent_state.memory.update_block_value('rules', 'x')", "is read-only"),
        ("agent_state.memory.update_block_value('human', 3)", "is a text, not 3"),
        ("agent_state.llm_config", "has no 'llm_config' here; it has: description, id, memory"),
    ):
        outcome = await run(sandbox, body, agent.grants())
        assert (outcome.reason, says in outcome.error) == ("error", True), outcome.error
    assert agent.texts == {"human": "Ada", "rules": "none"}


async def test_only_what_is_used_needs_a_grant(sandbox: WasmSandbox) -> None:
    agent = Agent()
    assert (await run(sandbox, "return 1", {})).value == 1
    reading = "return agent_state.memory.get_block('human').value"
    assert (await run(sandbox, reading, agent.grants("memory.read"))).value == "Ada"
    writing = "agent_state.memory.update_block_value('human', 'x')"
    denied = await run(sandbox, writing, agent.grants("memory.read"))
    assert (denied.reason, "`memory.write`" in denied.error) == ("denied", True)
    assert agent.texts["human"] == "Ada"
