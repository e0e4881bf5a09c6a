"""What `agent.read` and `memory.read` answer to a tool, in a turn and outside of turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from o_contracts.messages import AgentContext, AgentNotes, Block
from o_tools.errors import ToolError


def described(agent: AgentContext) -> dict[str, Any]:
    """What the agent is, besides its memory."""
    notes = agent.notes or AgentNotes()
    return {
        "id": agent.agent_id, "name": agent.name, "agent_type": agent.agent_type,
        "description": notes.description, "system": agent.system, "model": agent.model,
        "timezone": agent.timezone, "tags": notes.tags, "metadata": notes.metadata,
    }  # fmt: skip


def read_blocks(blocks: Sequence[Block], arguments: Mapping[str, Any]) -> Any:
    """The text of one block (`label`), whole blocks (`blocks`), or all texts by label.

    Raises:
        ToolError: there is no such block.
    """
    if arguments.get("blocks") is True:
        return [_whole(block) for block in blocks]
    texts = {block.label: block.value for block in blocks}
    if "label" not in arguments:
        return texts
    label = text_argument(arguments, "label")
    if label not in texts:
        raise ToolError(f"there is no memory block {label!r}; the blocks are: {', '.join(texts)}")
    return texts[label]


def text_argument(arguments: Mapping[str, Any], name: str) -> str:
    """An argument that must be a text.

    Raises:
        ToolError: it is none.
    """
    value = arguments.get(name)
    if not isinstance(value, str):
        raise ToolError(f"{name} must be a text, not {value!r}")
    return value


def _whole(block: Block) -> dict[str, Any]:
    return {
        "id": block.id, "label": block.label, "value": block.value, "limit": block.limit,
        "description": block.description, "read_only": block.read_only,
    }  # fmt: skip
