"""Agents as the API shows them, kept encoded as long as nothing of them has changed.

To read an agent with its blocks and to encode it takes several times what it takes to ask whether
it is still as it was. So whoever is asked for an agent first asks for its stamp (`stamped_agents`),
in the statement that otherwise reads it; a list is one of stamps, and what is not kept as of them
is read. Whoever changed it, in whichever process: what is kept is used only if the database says,
for this very request, that it is of now.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from o_platform.agents.agent_views import AgentView
from o_platform.agents.paging import Page
from o_platform.agents.repository import AgentFilter
from o_platform.agents.stamped_agents import Stamped, StampedAgents
from o_platform.api.agents.views import AgentJson, agent_json

KEPT_BYTES: Final = 8 * 1024 * 1024
"""Most that is kept of agents, their tools aside, which they share."""
_NOTHING: Final = "", AgentJson(b"", b"")
"""What is kept of an agent of which nothing is kept; no agent has its stamp."""


class ShownAgents:
    """Answers with agents as JSON."""

    def __init__(self, agents: StampedAgents, kept_bytes: int = KEPT_BYTES) -> None:
        """At most `kept_bytes` are kept, of the agents that were asked for last."""
        self._agents = agents
        self._most = kept_bytes
        self._kept: OrderedDict[str, tuple[str, AgentJson]] = OrderedDict()
        self._bytes = 0

    async def one(self, agent_id: str) -> bytes:
        """The agent.

        Raises:
            NotFoundError: there is none.
        """
        stamp, shown = self._kept.get(agent_id, _NOTHING)
        view = await self._agents.fetch_unless(agent_id, stamp)
        if view is not None:
            return bytes(self._show(view))
        if agent_id in self._kept:
            self._kept.move_to_end(agent_id)
        return bytes(shown)

    async def page(self, wanted: AgentFilter, page: Page, order_by: str = "created_at") -> bytes:
        """The agents on a page; those that are deleted meanwhile are left out."""
        listed = await self._agents.list(wanted, page, order_by)
        shown = {one.id: kept for one in listed if (kept := self._as_of(one)) is not None}
        missing = [one.id for one in listed if one.id not in shown]
        if missing:
            views = await self._agents.fetch_all(missing)
            shown |= {view.agent.id: self._show(view) for view in views}
        return _list_of([shown[one.id] for one in listed if one.id in shown])

    def _as_of(self, wanted: Stamped) -> AgentJson | None:
        stamp, shown = self._kept.get(wanted.id, _NOTHING)
        if stamp != wanted.stamp:
            return None
        self._kept.move_to_end(wanted.id)
        return shown

    def _show(self, view: AgentView) -> AgentJson:
        shown = agent_json(view, self._agents.catalogue)
        self._forget(view.agent.id)
        if view.stamp and len(shown.own) <= self._most:
            self._kept[view.agent.id] = view.stamp, shown
            self._bytes += len(shown.own)
            while self._bytes > self._most:
                self._forget(next(iter(self._kept)))
        return shown

    def _forget(self, agent_id: str) -> None:
        former = self._kept.pop(agent_id, None)
        if former is not None:
            self._bytes -= len(former[1].own)


def _list_of(agents: Sequence[AgentJson]) -> bytes:
    parts: list[bytes] = []
    for one in agents:
        parts += (b",", one.own, one.tools)
    return b"[%b]" % b"".join(parts[1:])
