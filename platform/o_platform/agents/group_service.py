"""What can be done with groups besides enabling and disabling them, which is the agents'."""

from __future__ import annotations

from collections.abc import Sequence

from o_platform.agents import group_repository
from o_platform.agents.paging import Page
from o_platform.db.engine import Database
from o_platform.db.models import Group


class GroupService:
    """Lists groups and changes how often their companions work."""

    def __init__(self, database: Database) -> None:
        """No context depends on a group, so no cache has to hear of changes."""
        self._database = database

    async def list(self, page: Page) -> Sequence[Group]:
        """A page of groups."""
        async with self._database.unit_of_work() as session:
            return await group_repository.list_groups(session, page)

    async def fetch(self, group_id: str) -> Group:
        """The group with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            return await group_repository.fetch_group(session, group_id)

    async def set_frequency(self, group_id: str, frequency: int) -> Group:
        """Let the companion work after every `frequency` turns of its manager (1 or more).

        Raises:
            NotFoundError: there is no such group.
        """
        async with self._database.unit_of_work() as session:
            group = await group_repository.fetch_group(session, group_id, lock=True)
            group.frequency = frequency
            return group
