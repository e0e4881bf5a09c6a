"""The cache of agents; the database's version always wins.

An entry advances only from the version it has (`advance`), and an agent that was read while
somebody dropped entries is not kept (`drops`), so that what was dropped never comes back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from o_platform.bridge.views import AgentView

CACHED_MESSAGES: Final = 100_000
"""Messages of all cached agents together (an agent itself counts as one)."""


class CachedAgent(NamedTuple):
    """An agent, and the lineage whose instances may serve it."""

    lineage: str
    view: AgentView


class ContextCache:
    """Agents by id; the least recently used go when there are too many messages."""

    def __init__(self, capacity: int = CACHED_MESSAGES) -> None:
        """`capacity` in messages."""
        self._capacity = capacity
        self._entries: OrderedDict[str, CachedAgent] = OrderedDict()
        self._weight = 0
        self.drops = 0
        """Grows whenever something is dropped."""

    def get(self, agent_id: str) -> CachedAgent | None:
        """The agent's entry, which counts as a use."""
        entry = self._entries.get(agent_id)
        if entry is not None:
            self._entries.move_to_end(agent_id)
        return entry

    def put(self, entry: CachedAgent) -> None:
        """Keep an entry."""
        agent_id = entry.view.base.agent_id
        self._forget(agent_id)
        self._entries[agent_id] = entry
        self._weight += _weight(entry)
        while self._weight > self._capacity and len(self._entries) > 1:
            _, oldest = self._entries.popitem(last=False)
            self._weight -= _weight(oldest)

    def advance(self, view: AgentView, following: AgentView) -> None:
        """Replace the entry if it is still at the version of `view`."""
        entry = self._entries.get(view.base.agent_id)
        if entry is not None and entry.view.version == view.version:
            self.put(CachedAgent(entry.lineage, following))

    def drop(self, agent_ids: Iterable[str]) -> None:
        """Forget these agents."""
        self.drops += 1
        for agent_id in agent_ids:
            self._forget(agent_id)

    def clear(self) -> None:
        """Forget everything."""
        self.drops += 1
        self._entries.clear()
        self._weight = 0

    def _forget(self, agent_id: str) -> None:
        entry = self._entries.pop(agent_id, None)
        if entry is not None:
            self._weight -= _weight(entry)


def _weight(entry: CachedAgent) -> int:
    return entry.view.length + 1
