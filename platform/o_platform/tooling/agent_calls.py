"""Capabilities of an agent's tool that is run outside of turns: the agent and its blocks.

What is written is an edit of the block at once, in its history under the name of who ran the tool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from o_contracts.messages import AgentContext, AgentNotes, Block
from o_platform.agents.agent_views import AgentView
from o_platform.agents.block_service import BlockService
from o_platform.agents.inputs import Author
from o_platform.errors import OError
from o_platform.tooling.agent_reads import described, read_blocks, text_argument
from o_platform.tooling.grants import named
from o_sandbox.protocol import HostCallError, HostFunction
from o_tools.edits import MemoryRethink, edited
from o_tools.errors import ToolError

OF_AGENT: Final = ("agent.read", "memory.read", "memory.write")


class AgentCalls:
    """The agent's part of the grants of one run; it sees its own edits."""

    def __init__(self, view: AgentView, tool: str, blocks: BlockService, author: Author) -> None:
        """`author` runs the tool; `blocks` makes the edits."""
        self._agent = _context(view)
        self._blocks = {block.label: block for block in self._agent.blocks}
        self._service = blocks
        self._author = Author(author.who, author.why or f"memory.write of the tool {tool}")

    def granted(self, grants: Sequence[str]) -> dict[str, HostFunction]:
        """The functions behind these grants, of those in `OF_AGENT`."""
        calls = (self._read_agent, self._read_memory, self._write_memory)
        wanted = named(grants)
        return {
            name: _answering(call)
            for name, call in zip(OF_AGENT, calls, strict=True)
            if name in wanted
        }

    async def _read_agent(self, arguments: Mapping[str, Any]) -> Any:
        return described(self._agent)

    async def _read_memory(self, arguments: Mapping[str, Any]) -> Any:
        return read_blocks(list(self._blocks.values()), arguments)

    async def _write_memory(self, arguments: Mapping[str, Any]) -> Any:
        label = text_argument(arguments, "label")
        former = read_blocks(list(self._blocks.values()), {"label": label})
        block = self._blocks[label]
        value = edited(block, former, MemoryRethink(label, text_argument(arguments, "value")))
        row = await self._service.update(block.id, {"value": value}, self._author, on=block.version)
        self._blocks[label] = _block(row)
        return value


def without_agent() -> dict[str, HostFunction]:
    """What stands in their place where source is tried out: a refusal that says what to do."""

    async def refuse(_: Mapping[str, Any]) -> Any:
        raise HostCallError(
            "there is no agent here, since source is tried out without one; attach the tool to an "
            "agent and run it there, or send the agent a message"
        )

    return dict.fromkeys(OF_AGENT, refuse)


def _answering(call: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> HostFunction:
    async def answer(arguments: Mapping[str, Any]) -> Any:
        try:
            return await call(arguments)
        except ToolError as error:
            raise HostCallError(str(error)) from None
        except OError as error:
            raise HostCallError(error.message) from None

    return answer


def _context(view: AgentView) -> AgentContext:
    agent = view.agent
    return AgentContext(
        agent.id, agent.version, agent.name, agent.agent_type, agent.system, agent.model,
        agent.model_settings, [_block(row) for row in view.blocks], [], [],
        timezone=agent.timezone,
        notes=AgentNotes(agent.description, agent.tags, agent.meta or {}),
    )  # fmt: skip


def _block(row: Any) -> Block:
    return Block(
        row.id, row.label, row.value, row.char_limit, row.description, row.read_only, row.version
    )
