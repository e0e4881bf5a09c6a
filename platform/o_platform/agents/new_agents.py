"""Rows of a new agent, inside the caller's transaction: itself, its blocks, its first messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts import messages as contract
from o_contracts.ids import new_agent_id
from o_platform.agents import attachments, repository
from o_platform.agents.defaults import generated_name
from o_platform.agents.folder_repository import give_folder
from o_platform.agents.identity_service import require_identities
from o_platform.agents.inputs import NewAgent
from o_platform.agents.secret_repository import replace_secrets
from o_platform.agents.tool_service import resolve_tools
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.models import Agent, Message
from o_platform.errors import NotFoundError


async def insert_agent(
    session: AsyncSession, catalogue: ToolCatalogue, wanted: NewAgent, agent_id: str | None = None
) -> Agent:
    """Create an agent in its lineage, under a new id unless one is given.

    Raises:
        NotFoundError: the lineage, a block, a folder or a tool does not exist.
        ConflictError: two blocks with one label.
    """
    base = catalogue.base(wanted.agent_type) if wanted.include_base_tools else []
    tools = await resolve_tools(session, catalogue, [*base, *wanted.tools], wanted.tool_ids)
    agent = await _insert(session, wanted, tools, agent_id)
    await attachments.add_new(session, agent.id, wanted.blocks)
    await attachments.attach_all(session, agent.id, wanted.block_ids)
    for folder_id in dict.fromkeys(wanted.folder_ids):
        await give_folder(session, agent, folder_id)
    session.add_all(message_row(agent.id, message) for message in wanted.messages)
    if wanted.secrets:
        await replace_secrets(session, agent.id, wanted.secrets)
    await repository.announce_agents(session, [agent.id])
    return agent


def message_row(
    agent_id: str, message: contract.Message, conversation_id: str | None = None
) -> Message:
    """The row of a message of the agent's default conversation, or of this one."""
    body = msgspec.to_builtins(message)
    return Message(
        id=message.id, agent_id=agent_id, conversation_id=conversation_id,
        run_id=message.run_id, type=message.type, body=body,
        created_at=datetime.fromtimestamp(message.date_us / 1e6, UTC),
    )  # fmt: skip


async def _insert(
    session: AsyncSession, wanted: NewAgent, tools: Sequence[str], agent_id: str | None
) -> Agent:
    lineage = await repository.fetch_lineage(session, wanted.lineage)
    if lineage is None:
        raise NotFoundError(
            f"no lineage is named {wanted.lineage!r}; see `o status`", lineage=wanted.lineage
        )
    await require_identities(session, wanted.identity_ids)
    agent = Agent(
        id=agent_id or new_agent_id(lineage.key), lineage=lineage.name,
        name=wanted.name or generated_name(),
        agent_type=wanted.agent_type, system=wanted.system, model=wanted.model,
        model_settings=wanted.model_settings, embedding=wanted.embedding,
        description=wanted.description, timezone=wanted.timezone, tools=[*tools],
        tool_rules=wanted.tool_rules, tags=wanted.tags, meta=wanted.metadata, config=wanted.config,
        identity_ids=wanted.identity_ids,
    )  # fmt: skip
    session.add(agent)
    await session.flush()
    return agent
