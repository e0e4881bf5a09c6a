"""The cache of agents' contexts, by agent; the database's version always wins.

An entry advances only from the version it has (`advance`), and a context that was read while
somebody dropped entries is not kept (`drops`), so that a dropped context never comes back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from o_contracts.messages import AgentContext
from o_platform.agents.turns import LoadedAgent

CACHED_MESSAGES: Final = 100_000
"""Messages of all cached agents together (an agent itself counts as one)."""


class ContextCache:
    """Contexts by agent id; the least recently used go when there are too many messages."""

    def __init__(self, capacity: int = CACHED_MESSAGES) -> None:
        """`capacity` in messages."""
        self._capacity = capacity
        self._entries: OrderedDict[str, LoadedAgent] = OrderedDict()
        self._weight = 0
        self.drops = 0
        """Grows whenever something is dropped."""

    def get(self, agent_id: str) -> LoadedAgent | None:
        """The agent's entry, which counts as a use."""
        entry = self._entries.get(agent_id)
        if entry is not None:
            self._entries.move_to_end(agent_id)
        return entry

    def put(self, entry: LoadedAgent) -> None:
        """Keep an entry."""
        agent_id = entry.context.agent_id
        self._forget(agent_id)
        self._entries[agent_id] = entry
        self._weight += _weight(entry)
        while self._weight > self._capacity and len(self._entries) > 1:
            _, oldest = self._entries.popitem(last=False)
            self._weight -= _weight(oldest)

    def advance(self, base: AgentContext, following: AgentContext) -> None:
        """Replace the entry if it is still at `base`."""
        entry = self._entries.get(base.agent_id)
        if entry is not None and entry.context.version == base.version:
            self.put(LoadedAgent(entry.lineage, following))

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


def _weight(entry: LoadedAgent) -> int:
    return len(entry.context.messages) + 1
