"""Sleep-time companions: agents that keep the memory of another one in the background.

`enable_sleeptime` gives an agent a companion in its own lineage, which shares its blocks and takes
over its tools that edit memory. The functions run inside the caller's transaction, which holds the
manager's lock; they return the agents besides it whose contexts changed. When the companion gets to
work is decided by the commit of a turn (`sleeptime_turns`).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.agents import archive_repository, attachments, group_repository, repository
from o_platform.agents.defaults import (
    MEMORY_EDITING,
    SLEEPTIME_AGENT,
    SLEEPTIME_FREQUENCY,
    SLEEPTIME_SYSTEM,
)
from o_platform.agents.inputs import NewAgent
from o_platform.agents.new_agents import insert_agent
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.models import Agent, Group

ENABLED = "enable_sleeptime"
"""The field of an agent's `config` that says that it manages a group."""
_OWN_SETTINGS = frozenset({"response_format"})
"""Settings of a model that are about what the manager answers."""


async def enable(
    session: AsyncSession,
    catalogue: ToolCatalogue,
    agent: Agent,
    *,
    given_up: Sequence[str] = (),
) -> list[str]:
    """Give the agent a companion, unless it has one.

    `given_up` are tools that it gave up before it came here, to get them back some day.
    """
    if await group_repository.managed_groups(session, [agent.id]):
        return []
    companion = await insert_agent(session, catalogue, await _companion(session, agent))
    await adopt(session, agent, companion.id, given_up=given_up)
    return [companion.id]


async def adopt(
    session: AsyncSession,
    agent: Agent,
    companion_id: str,
    *,
    frequency: int = SLEEPTIME_FREQUENCY,
    given_up: Sequence[str] = (),
) -> None:
    """Let an agent that is there keep the memory of another one, which has no companion yet."""
    moved = [name for name in agent.tools if name in MEMORY_EDITING]
    agent.tools = [name for name in agent.tools if name not in MEMORY_EDITING]
    agent.config = {**agent.config, ENABLED: True}
    session.add(
        Group(
            id=new_id("group"), manager_id=agent.id, companion_id=companion_id,
            frequency=frequency, moved_tools=list(dict.fromkeys([*moved, *given_up])),
        )
    )  # fmt: skip
    await session.flush()


async def disable(session: AsyncSession, agent: Agent) -> list[str]:
    """Take the agent's companion away, if it has one, and let it keep its memory itself again."""
    agent.config = {**agent.config, ENABLED: False}
    groups = await group_repository.managed_groups(session, [agent.id])
    if not groups:
        return []
    group = groups[agent.id]
    _take_back(agent, group)
    await session.delete(group)
    await session.flush()
    await archive_repository.keep_shared(session, group.companion_id)
    await repository.delete_agent(session, group.companion_id)
    await repository.announce_agents(session, [group.companion_id])
    return [group.companion_id]


async def leave(session: AsyncSession, agent_id: str) -> list[str]:
    """The agent is about to be deleted: its companion goes with it; its manager gets on alone."""
    group = await group_repository.group_of(session, agent_id)
    if group is None:
        return []
    await repository.lock_agents(session, [group.manager_id, group.companion_id])
    manager = await repository.lock_agent(session, group.manager_id)
    if manager is None:
        return []
    if manager.id == agent_id:
        return await disable(session, manager)
    _take_back(manager, group)
    await session.flush()
    await repository.bump_agents(session, [manager.id])
    return [manager.id]


async def share_blocks(session: AsyncSession, agent: Agent, detached: list[str]) -> list[str]:
    """Let the agent's companion, if it has one, hold the blocks that it holds.

    `detached` are those that it holds no longer.

    Raises:
        ConflictError: the companion holds another block under the same label.
    """
    if not agent.config.get(ENABLED):
        return []
    groups = await group_repository.managed_groups(session, [agent.id])
    if not groups:
        return []
    companion_id = groups[agent.id].companion_id
    held = await repository.fetch_attachments(session, companion_id)
    for block_id in {one.block_id for one in held}.intersection(detached):
        await attachments.detach(session, companion_id, block_id)
    await session.flush()
    await attachments.attach_all(session, companion_id, await _block_ids(session, agent.id))
    await repository.bump_agents(session, [companion_id])
    return [companion_id]


async def _companion(session: AsyncSession, agent: Agent) -> NewAgent:
    limit = agent.config.get("context_window_limit")
    settings = {k: v for k, v in agent.model_settings.items() if k not in _OWN_SETTINGS}
    return NewAgent(
        model=agent.model, lineage=agent.lineage, name=f"{agent.name}-sleeptime",
        agent_type=SLEEPTIME_AGENT, system=SLEEPTIME_SYSTEM, model_settings=settings,
        embedding=agent.embedding, description=f"Keeps the memory of {agent.id}.",
        timezone=agent.timezone, config={"context_window_limit": limit} if limit else {},
        tool_rules=[{"type": "exit_loop", "tool_name": "memory_finish_edits"}],
        block_ids=await _block_ids(session, agent.id),
    )  # fmt: skip


async def _block_ids(session: AsyncSession, agent_id: str) -> list[str]:
    return [one.block_id for one in await repository.fetch_attachments(session, agent_id)]


def usually_given_up(catalogue: ToolCatalogue, agent: Agent) -> list[str]:
    """The tools that an agent of its type gives up when it gets a companion."""
    return [name for name in catalogue.base(agent.agent_type) if name in MEMORY_EDITING]


def _take_back(agent: Agent, group: Group) -> None:
    agent.tools = list(dict.fromkeys([*agent.tools, *group.moved_tools]))
    agent.config = {**agent.config, ENABLED: False}
