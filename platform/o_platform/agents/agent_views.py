"""Agents as services hand them on: with everything that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts import messages as contract
from o_platform.agents import group_repository, history_repository, repository, sleeptime
from o_platform.agents.defaults import IN_CONTEXT_MESSAGES
from o_platform.agents.folder_repository import folders_of_agents
from o_platform.agents.identity_repository import fetch_identities
from o_platform.agents.mcp_repository import fetch_tools
from o_platform.agents.repository import Belongings
from o_platform.agents.tool_repository import fetch_named
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.models import Agent, Archive, Block, Folder, Group, Identity, McpTool, Tool


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent with its blocks, and the ids of its messages in context, oldest first.

    `pending` is the message that asks for an approval, if the agent waits for one.
    """

    agent: Agent
    blocks: list[Block]
    message_ids: list[str]
    identities: list[Identity]
    pending: contract.Message | None = None
    tools: dict[str, Tool] = field(default_factory=dict)
    """Tools that were added over the API, by name: at least those the agent has."""
    mcp_tools: dict[str, McpTool] = field(default_factory=dict)
    """Tools of MCP servers by id."""
    folders: list[tuple[Folder, Archive]] = field(default_factory=list)
    """What it reads."""
    secrets: list[str] = field(default_factory=list)
    """Names of what its tools may send."""
    group: Group | None = None
    """The group it manages, if a sleep-time companion keeps its memory."""


async def view_agents(
    session: AsyncSession, catalogue: ToolCatalogue, agents: Sequence[Agent]
) -> Sequence[AgentView]:
    """These agents with what belongs to them."""
    ids = [agent.id for agent in agents]
    if not ids:
        return []
    blocks = await repository.fetch_blocks_of(session, ids)
    identities = await _identities_of(session, agents)
    belongings = await repository.fetch_belongings(session, ids, IN_CONTEXT_MESSAGES)
    asking = [own.pending_id for own in belongings.values() if own.pending_id is not None]
    pending = await history_repository.fetch_messages(session, asking) if asking else {}
    added = {name for agent in agents for name in agent.tools} - catalogue.names
    tools = await fetch_named(session, added) if added else {}
    foreign = added - tools.keys()
    of_servers = await fetch_tools(session, foreign) if foreign else {}
    readers = [agent_id for agent_id, own in belongings.items() if own.has_folders]
    folders = await folders_of_agents(session, readers) if readers else {}
    managing = [agent.id for agent in agents if agent.config.get(sleeptime.ENABLED)]
    groups = await group_repository.managed_groups(session, managing) if managing else {}
    return [
        AgentView(
            agent,
            blocks[agent.id],
            _in_context(agent, belongings[agent.id]),
            identities[agent.id],
            pending.get(belongings[agent.id].pending_id or ""),
            tools,
            of_servers,
            folders.get(agent.id, []),
            belongings[agent.id].secrets,
            groups.get(agent.id),
        )
        for agent in agents
    ]


def _in_context(agent: Agent, own: Belongings) -> list[str]:
    """Ids of the messages it is shown in its next turn; none, if it forgets those of others."""
    forgets = agent.config.get("message_buffer_autoclear") and own.pending_id is None
    return [] if forgets else own.message_ids


async def _identities_of(
    session: AsyncSession, agents: Sequence[Agent]
) -> dict[str, list[Identity]]:
    ids = {identity_id for agent in agents for identity_id in agent.identity_ids}
    found = await fetch_identities(session, ids) if ids else {}
    return {
        agent.id: [found[one] for one in agent.identity_ids if one in found] for agent in agents
    }
