"""Queries on identities and on which agents have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Text, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.paging import Page, fetch_page
from o_platform.db.models import Agent, Identity


@dataclass(frozen=True, slots=True)
class IdentityFilter:
    """Which identities to list; what is absent does not restrict."""

    name: str | None = None
    identifier_key: str | None = None
    identity_type: str | None = None


async def fetch_identity(session: AsyncSession, identity_id: str) -> Identity | None:
    """The identity with this id."""
    return await session.get(Identity, identity_id)


async def find_identity(session: AsyncSession, identifier_key: str) -> Identity | None:
    """The identity with this key, locked until the transaction ends."""
    wanted = select(Identity).where(Identity.identifier_key == identifier_key)
    return await session.scalar(wanted.with_for_update())


async def fetch_identities(session: AsyncSession, ids: Iterable[str]) -> dict[str, Identity]:
    """Those of these identities that exist, by id."""
    wanted = select(Identity).where(Identity.id.in_(list(ids)))
    return {identity.id: identity for identity in await session.scalars(wanted)}


async def list_identities(
    session: AsyncSession, wanted: IdentityFilter, page: Page
) -> list[Identity]:
    """A page of the identities that pass the filter."""
    statement = select(Identity)
    if wanted.name is not None:
        statement = statement.where(Identity.name == wanted.name)
    if wanted.identifier_key is not None:
        statement = statement.where(Identity.identifier_key == wanted.identifier_key)
    if wanted.identity_type is not None:
        statement = statement.where(Identity.identity_type == wanted.identity_type)
    keys = (Identity.created_at, Identity.id)
    return await fetch_page(session, statement, Identity.id, keys, page)


async def agents_of(session: AsyncSession, ids: Sequence[str]) -> dict[str, list[str]]:
    """Ids of the agents that have each of these identities, oldest agent first."""
    holders: dict[str, list[str]] = {identity_id: [] for identity_id in ids}
    wanted = select(Agent.id, Agent.identity_ids).where(
        Agent.identity_ids.bool_op("&&")(cast(list(ids), ARRAY(Text)))
    )
    for agent_id, held in await session.execute(wanted.order_by(Agent.created_at, Agent.id)):
        for identity_id in held:
            if identity_id in holders:
                holders[identity_id].append(agent_id)
    return holders


async def give(session: AsyncSession, identity_id: str, agent_ids: Sequence[str]) -> int:
    """Give the identity to these agents; how many of them exist."""
    without = func.array_remove(Agent.identity_ids, identity_id)
    changed = await session.scalars(
        update(Agent)
        .where(Agent.id.in_(list(agent_ids)))
        .values(identity_ids=func.array_append(without, identity_id))
        .returning(Agent.id)
        .execution_options(synchronize_session=False)
    )
    return len(changed.all())


async def take(
    session: AsyncSession, identity_id: str, agent_ids: Sequence[str] | None = None
) -> None:
    """Take the identity from these agents; without `agent_ids` from all that have it."""
    has = Agent.identity_ids.bool_op("@>")(cast([identity_id], ARRAY(Text)))
    statement = update(Agent).where(has)
    if agent_ids is not None:
        statement = statement.where(Agent.id.in_(list(agent_ids)))
    await session.execute(
        statement.values(
            identity_ids=func.array_remove(Agent.identity_ids, identity_id)
        ).execution_options(synchronize_session=False)
    )


async def delete_identity(session: AsyncSession, identity_id: str) -> bool:
    """Delete an identity; whether there was one."""
    await take(session, identity_id)
    gone = delete(Identity).where(Identity.id == identity_id).returning(Identity.id)
    return await session.scalar(gone) is not None
