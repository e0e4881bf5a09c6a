"""Agents as services hand them on: with everything that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts import messages as contract
from o_platform.agents import group_repository, history_repository, sleeptime
from o_platform.agents.defaults import IN_CONTEXT_MESSAGES
from o_platform.agents.folder_repository import folders_of_agents
from o_platform.agents.identity_repository import fetch_identities
from o_platform.agents.mcp_repository import fetch_tools
from o_platform.agents.new_agents import NewRows
from o_platform.agents.tool_repository import fetch_named
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.detached import Detached
from o_platform.db.engine import Database, within
from o_platform.db.line import Statement
from o_platform.db.models import Agent, Archive, Block, Folder, Group, Identity, McpTool, Tool
from o_platform.db.sealed_columns import vault_of
from o_platform.db.sealing import Vault


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent with its blocks, and the ids of its messages in context, oldest first.

    `pending` is the message that asks for an approval, if the agent waits for one.
    """

    agent: Agent
    blocks: list[Block]
    message_ids: list[str]
    identities: list[Identity] = field(default_factory=list)
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
    stamp: str = ""
    """Of when it is (`stamped_agents`); empty if it is not known."""


DOCUMENT: Final = """
json_build_object(
  'agent', row_to_json(r),
  'blocks', ARRAY(
    SELECT row_to_json(b) FROM agent_blocks ab JOIN blocks b ON b.id = ab.block_id
    WHERE ab.agent_id = r.id ORDER BY ab.position),
  'newest_ids', newest.ids,
  'pending_id', CASE WHEN newest.types[1] = 'approval_request_message' THEN newest.ids[1] END,
  'has_folders', EXISTS (SELECT FROM agent_folders f WHERE f.agent_id = r.id),
  'secrets', ARRAY(SELECT s.name FROM agent_secrets s WHERE s.agent_id = r.id ORDER BY s.name)
)
"""
"""What a view is made of, of an agent `r` and its newest messages, newest first."""
NEWEST: Final = f"""
(
  SELECT array_agg(m.id) AS ids, array_agg(m.type) AS types
  FROM (
    SELECT id, type FROM messages
    WHERE agent_id = r.id AND conversation_id IS NULL
    ORDER BY seq DESC LIMIT {IN_CONTEXT_MESSAGES}
  ) AS m
) AS newest
"""  # noqa: S608
"""The newest messages of an agent `r`, newest first: aggregates take rows as they come, and would
sort them once more for each of these."""
JOINED: Final = f", LATERAL {NEWEST}"
_VIEW: Final = Statement(
    f"SELECT ({DOCUMENT})::text FROM agents AS r{JOINED} WHERE r.id = $1"  # noqa: S608
)
_agent: Final = Detached(Agent)
_block: Final = Detached(Block)


async def view_agent(
    session: AsyncSession, catalogue: ToolCatalogue, agent_id: str
) -> AgentView | None:
    """The agent as it is in this transaction, with what belongs to it."""
    documents = await within(session)(_VIEW, agent_id)
    own = [_Own.of(vault_of(session), document) for document in documents]
    views = await _completed(session, catalogue, own)
    return views[0] if views else None


async def read_agent(
    database: Database, catalogue: ToolCatalogue, agent_id: str
) -> AgentView | None:
    """The agent with what belongs to it."""
    views = await read_agents(database, catalogue, await database.ask(_VIEW, agent_id))
    return views[0] if views else None


async def read_agents(
    database: Database,
    catalogue: ToolCatalogue,
    documents: Sequence[dict[str, Any]],
    stamps: Sequence[str] | None = None,
) -> Sequence[AgentView]:
    """The agents of these documents with what belongs to them; `stamps` are theirs."""
    given = stamps or [""] * len(documents)
    own = [
        _Own.of(database.vault, document)._replace(stamp=stamp)
        for document, stamp in zip(documents, given, strict=True)
    ]
    if not any(one.needs_more(catalogue) for one in own):
        return [one.view(stamp=one.stamp) for one in own]
    async with database.reading() as session:
        return await _completed(session, catalogue, own)


def new_agent(vault: Vault, row: dict[str, Any], rows: NewRows) -> AgentView:
    """The agent that was inserted as `row`, and has nothing but its own `rows`."""
    blocks = [_block(vault, block) for block in rows.blocks]
    newest = [message.id for message in rows.messages[-IN_CONTEXT_MESSAGES:]]
    return _Own(_agent(vault, row), blocks, newest, None, False, []).view()


class _Own(NamedTuple):
    """An agent and what is its own, before what it shares with others is looked up."""

    agent: Agent
    blocks: list[Block]
    message_ids: list[str]
    pending_id: str | None
    has_folders: bool
    secrets: list[str]
    stamp: str = ""

    @classmethod
    def of(cls, vault: Vault, document: dict[str, Any]) -> _Own:
        return cls(
            _agent(vault, document["agent"]),
            [_block(vault, row) for row in document["blocks"]],
            (document["newest_ids"] or [])[::-1],
            document["pending_id"],
            document["has_folders"],
            document["secrets"],
        )

    @property
    def has_companion(self) -> bool:
        return bool(self.agent.config.get(sleeptime.ENABLED))

    def needs_more(self, catalogue: ToolCatalogue) -> bool:
        own = self.agent.identity_ids or self.pending_id or self.has_folders or self.has_companion
        return bool(own) or not catalogue.names >= set(self.agent.tools)

    def view(self, **shared: Any) -> AgentView:
        return AgentView(
            self.agent, self.blocks, self._in_context(), secrets=self.secrets, **shared
        )

    def _in_context(self) -> list[str]:
        """Ids of the messages it is shown in its next turn; none, if it forgets those of others."""
        forgets = self.agent.config.get("message_buffer_autoclear") and self.pending_id is None
        return [] if forgets else self.message_ids


async def _completed(
    session: AsyncSession, catalogue: ToolCatalogue, agents: Sequence[_Own]
) -> Sequence[AgentView]:
    identities = await _identities_of(session, [own.agent for own in agents])
    asking = [own.pending_id for own in agents if own.pending_id is not None]
    pending = await history_repository.fetch_messages(session, asking) if asking else {}
    added = {name for own in agents for name in own.agent.tools} - catalogue.names
    tools = await fetch_named(session, added) if added else {}
    foreign = added - tools.keys()
    of_servers = await fetch_tools(session, foreign) if foreign else {}
    readers = [own.agent.id for own in agents if own.has_folders]
    folders = await folders_of_agents(session, readers) if readers else {}
    managing = [own.agent.id for own in agents if own.has_companion]
    groups = await group_repository.managed_groups(session, managing) if managing else {}
    return [
        own.view(
            identities=identities[own.agent.id],
            pending=pending.get(own.pending_id or ""),
            tools=tools,
            mcp_tools=of_servers,
            folders=folders.get(own.agent.id, []),
            group=groups.get(own.agent.id),
            stamp="" if own.needs_more(catalogue) else own.stamp,
        )
        for own in agents
    ]


async def _identities_of(
    session: AsyncSession, agents: Sequence[Agent]
) -> dict[str, list[Identity]]:
    ids = {identity_id for agent in agents for identity_id in agent.identity_ids}
    found = await fetch_identities(session, ids) if ids else {}
    return {
        agent.id: [found[one] for one in agent.identity_ids if one in found] for agent in agents
    }
