"""Queries on agents' secrets: values that their tools may send and nobody reads back.

Through the models alone, so that values are sealed at rest where the database has a vault.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.models import AgentSecret


async def replace_secrets(session: AsyncSession, agent_id: str, values: Mapping[str, str]) -> None:
    """Let the agent have exactly these."""
    await session.execute(delete(AgentSecret).where(AgentSecret.agent_id == agent_id))
    session.add_all(
        AgentSecret(agent_id=agent_id, name=name, value=value) for name, value in values.items()
    )
    await session.flush()


async def fetch_secrets_of(session: AsyncSession, agent_id: str) -> dict[str, str]:
    """The agent's secrets by name."""
    rows = await session.scalars(select(AgentSecret).where(AgentSecret.agent_id == agent_id))
    return {row.name: row.value for row in rows}
