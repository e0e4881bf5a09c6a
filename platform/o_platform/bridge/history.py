"""Contexts with more or fewer messages; `earlier_messages` always counts those left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from o_contracts.messages import AgentContext, Block, Message

KEPT_MESSAGES: Final = 60
"""Newest messages that the caches keep of an agent."""


def with_newest(context: AgentContext, count: int) -> AgentContext:
    """The context with at most its newest `count` messages (0 and below: none)."""
    surplus = len(context.messages) - max(count, 0)
    if surplus <= 0:
        return context
    return msgspec.structs.replace(
        context,
        messages=context.messages[surplus:],
        earlier_messages=context.earlier_messages + surplus,
    )


def after_turn(
    context: AgentContext, version: int, messages: Sequence[Message], blocks: list[Block]
) -> AgentContext:
    """The context as it is after a turn added `messages` and left the blocks as `blocks`."""
    history = [*context.messages, *messages]
    surplus = max(len(history) - max(KEPT_MESSAGES, len(context.messages)), 0)
    return AgentContext(
        agent_id=context.agent_id,
        version=version,
        name=context.name,
        agent_type=context.agent_type,
        system=context.system,
        model=context.model,
        model_settings=context.model_settings,
        blocks=blocks,
        tools=context.tools,
        messages=history[surplus:],
        earlier_messages=context.earlier_messages + surplus,
        timezone=context.timezone,
        tool_rules=context.tool_rules,
    )
