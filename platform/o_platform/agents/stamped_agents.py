"""Reading agents only if they have changed.

An agent has a stamp: its row's transaction and version. Whatever changes what belongs to an agent
alone (blocks, messages, folders, secrets) writes its row, too, in the same transaction; so what was
read with the same stamp is still so. What it shares with others (identities, added tools, groups)
may change without it: a view of an agent that has such has no stamp.
"""
# ruff: noqa: S608 — statements are made of constants

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from o_platform.agents import repository
from o_platform.agents.agent_views import DOCUMENT, JOINED, NEWEST, AgentView, read_agents
from o_platform.agents.paging import Page
from o_platform.agents.repository import AgentFilter
from o_platform.agents.service import no_agent
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.engine import Database
from o_platform.db.line import Statement

_STAMP: Final = "r.xmin::text || '.' || r.version"
_STAMPED: Final = f"json_build_object('id', r.id, 'stamp', {_STAMP})"
_UNLESS: Final = Statement(
    f"SELECT json_build_object('stamp', {_STAMP}, 'document', "
    f"CASE WHEN {_STAMP} <> $2 THEN (SELECT {DOCUMENT} FROM {NEWEST}) END)::text "
    "FROM agents AS r WHERE r.id = $1"
)
_ALL: Final = Statement(
    f"SELECT json_build_object('stamp', {_STAMP}, 'document', {DOCUMENT})::text "
    f"FROM agents AS r{JOINED} WHERE r.id = ANY ($1::text[])"
)


class Stamped(NamedTuple):
    """Which agent, and its stamp."""

    id: str
    stamp: str


class StampedAgents:
    """Agents of one database."""

    def __init__(self, database: Database, catalogue: ToolCatalogue) -> None:
        """`catalogue` knows the tools that agents have."""
        self._database = database
        self.catalogue = catalogue

    async def fetch_unless(self, agent_id: str, stamp: str) -> AgentView | None:
        """The agent with this id, or None if it still has this stamp.

        Raises:
            NotFoundError: there is no such agent.
        """
        rows = await self._database.ask(_UNLESS, agent_id, stamp)
        if not rows:
            raise no_agent(agent_id)
        if rows[0]["document"] is None:
            return None
        (view,) = await self._read(rows)
        return view

    async def fetch_all(self, agent_ids: Sequence[str]) -> Sequence[AgentView]:
        """Those of these agents that are still there, in any order."""
        return await self._read(await self._database.ask(_ALL, agent_ids))

    async def list(self, wanted: AgentFilter, page: Page, order_by: str) -> Sequence[Stamped]:
        """Which agents are on a page, in order."""
        ask = self._database.ask
        rows = await repository.list_agents(ask, wanted, page, order_by, document=_STAMPED)
        return [Stamped(**row) for row in rows]

    async def _read(self, rows: Sequence[dict[str, Any]]) -> Sequence[AgentView]:
        documents, stamps = [row["document"] for row in rows], [row["stamp"] for row in rows]
        return await read_agents(self._database, self.catalogue, documents, stamps)
