"""What can be done with identities, as whole transactions.

No context is made of identities, so giving or taking one changes no agent's version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.agents import identity_repository as repository
from o_platform.agents.identity_repository import IdentityFilter
from o_platform.agents.paging import Page
from o_platform.db.engine import Database
from o_platform.db.models import Identity
from o_platform.errors import ConflictError, NotFoundError


class IdentityFields(TypedDict, total=False):
    """What an identity is made of; absent fields stay as they are."""

    identifier_key: str
    name: str
    identity_type: str
    properties: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class IdentityView:
    """An identity and the agents that have it."""

    identity: Identity
    agent_ids: list[str]


class IdentityService:
    """Creates, reads, changes and deletes identities."""

    def __init__(self, database: Database) -> None:
        """Nothing connects yet."""
        self._database = database

    async def create(self, fields: IdentityFields, agent_ids: Sequence[str]) -> IdentityView:
        """Create an identity and give it to these agents.

        Raises:
            ConflictError: its key is taken.
            NotFoundError: one of the agents does not exist.
        """
        try:
            async with self._database.unit_of_work() as session:
                return await _insert(session, fields, agent_ids)
        except IntegrityError as error:
            key = fields["identifier_key"]
            raise ConflictError(f"another identity has the key {key!r}", key=key) from error

    async def upsert(self, fields: IdentityFields, agent_ids: Sequence[str]) -> IdentityView:
        """Create the identity with this key, or make it what `fields` say.

        Raises:
            NotFoundError: one of the agents does not exist.
        """
        async with self._database.unit_of_work() as session:
            identity = await repository.find_identity(session, fields["identifier_key"])
            if identity is not None:
                return await _change(session, identity, fields, agent_ids)
        return await self.create(fields, agent_ids)

    async def fetch(self, identity_id: str) -> IdentityView:
        """The identity with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            return await _view(session, await _existing(session, identity_id))

    async def list(self, wanted: IdentityFilter, page: Page) -> list[IdentityView]:
        """A page of identities."""
        async with self._database.unit_of_work() as session:
            found = await repository.list_identities(session, wanted, page)
            agents = await repository.agents_of(session, [identity.id for identity in found])
        return [IdentityView(identity, agents[identity.id]) for identity in found]

    async def update(
        self, identity_id: str, fields: IdentityFields, agent_ids: Sequence[str] | None
    ) -> IdentityView:
        """Change an identity; with `agent_ids` exactly these agents have it afterwards.

        Raises:
            ConflictError: its new key is taken.
            NotFoundError: the identity or one of the agents does not exist.
        """
        try:
            async with self._database.unit_of_work() as session:
                identity = await _existing(session, identity_id)
                return await _change(session, identity, fields, agent_ids)
        except IntegrityError as error:
            raise ConflictError("another identity has this key") from error

    async def delete(self, identity_id: str) -> None:
        """Delete an identity; the agents that had it stay.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            if not await repository.delete_identity(session, identity_id):
                raise _unknown(identity_id)

    async def attach(self, agent_id: str, identity_id: str) -> None:
        """Give an agent an identity.

        Raises:
            NotFoundError: no such agent or identity.
        """
        async with self._database.unit_of_work() as session:
            await _existing(session, identity_id)
            await _give(session, identity_id, [agent_id])

    async def detach(self, agent_id: str, identity_id: str) -> None:
        """Take an identity from an agent, if it has it.

        Raises:
            NotFoundError: no such identity.
        """
        async with self._database.unit_of_work() as session:
            await _existing(session, identity_id)
            await repository.take(session, identity_id, [agent_id])


async def require_identities(session: AsyncSession, ids: Sequence[str]) -> None:
    """Return if all of these exist.

    Raises:
        NotFoundError: one does not.
    """
    if not ids:
        return
    found = await repository.fetch_identities(session, ids)
    for identity_id in ids:
        if identity_id not in found:
            raise _unknown(identity_id)


async def _insert(
    session: AsyncSession, fields: IdentityFields, agent_ids: Sequence[str]
) -> IdentityView:
    identity = Identity(id=new_id("identity"), **fields)
    session.add(identity)
    await session.flush()
    await _give(session, identity.id, agent_ids)
    return await _view(session, identity)


async def _change(
    session: AsyncSession,
    identity: Identity,
    fields: IdentityFields,
    agent_ids: Sequence[str] | None,
) -> IdentityView:
    for name, value in fields.items():
        setattr(identity, name, value)
    identity.updated_at = func.now()
    await session.flush()
    if agent_ids is not None:
        await repository.take(session, identity.id)
        await _give(session, identity.id, agent_ids)
    return await _view(session, identity)


async def _give(session: AsyncSession, identity_id: str, agent_ids: Sequence[str]) -> None:
    wanted = set(agent_ids)
    if wanted and await repository.give(session, identity_id, list(wanted)) < len(wanted):
        raise NotFoundError(f"not all of these agents exist: {', '.join(sorted(wanted))}")


async def _existing(session: AsyncSession, identity_id: str) -> Identity:
    identity = await repository.fetch_identity(session, identity_id)
    if identity is None:
        raise _unknown(identity_id)
    return identity


async def _view(session: AsyncSession, identity: Identity) -> IdentityView:
    await session.refresh(identity)
    agents = await repository.agents_of(session, [identity.id])
    return IdentityView(identity, agents[identity.id])


def _unknown(identity_id: str) -> NotFoundError:
    return NotFoundError(f"no identity has the id {identity_id!r}", identity_id=identity_id)
