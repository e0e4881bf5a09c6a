"""The cache of agents, by conversation; the database's version always wins.

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
    """Agents by thread; the least recently used go when there are too many messages."""

    def __init__(self, capacity: int = CACHED_MESSAGES) -> None:
        """`capacity` in messages."""
        self._capacity = capacity
        self._entries: OrderedDict[str, CachedAgent] = OrderedDict()
        self._weight = 0
        self._conversations: dict[str, set[str]] = {}
        """Threads that are in the cache besides their agent's own, by agent."""
        self.drops = 0
        """Grows whenever something is dropped."""

    def get(self, thread_id: str) -> CachedAgent | None:
        """The thread's entry, which counts as a use."""
        entry = self._entries.get(thread_id)
        if entry is not None:
            self._entries.move_to_end(thread_id)
        return entry

    def put(self, entry: CachedAgent) -> None:
        """Keep an entry."""
        thread_id = entry.view.thread_id
        self._forget(thread_id)
        self._entries[thread_id] = entry
        self._weight += _weight(entry)
        if entry.view.base.conversation_id:
            self._conversations.setdefault(entry.view.base.agent_id, set()).add(thread_id)
        while self._weight > self._capacity and len(self._entries) > 1:
            self._forget(next(iter(self._entries)))

    def advance(self, view: AgentView, following: AgentView) -> None:
        """Replace the entry if it is still at the version of `view`."""
        entry = self._entries.get(view.thread_id)
        if entry is not None and entry.view.version == view.version:
            self.put(CachedAgent(entry.lineage, following))

    def drop(self, ids: Iterable[str]) -> None:
        """Forget these conversations, and these agents with all of theirs."""
        self.drops += 1
        for thread_id in ids:
            self._forget(thread_id)
            for conversation_id in self._conversations.get(thread_id, set()).copy():
                self._forget(conversation_id)

    def drop_others(self, view: AgentView) -> None:
        """Forget the agent's other threads: what they share has changed."""
        agent_id = view.base.agent_id
        others = {agent_id, *self._conversations.get(agent_id, ())} - {view.thread_id}
        if others & self._entries.keys():
            self.drops += 1
            for thread_id in others:
                self._forget(thread_id)

    def clear(self) -> None:
        """Forget everything."""
        self.drops += 1
        self._entries.clear()
        self._conversations.clear()
        self._weight = 0

    def _forget(self, thread_id: str) -> None:
        entry = self._entries.pop(thread_id, None)
        if entry is None:
            return
        self._weight -= _weight(entry)
        if entry.view.base.conversation_id:
            threads = self._conversations[entry.view.base.agent_id]
            threads.discard(thread_id)
            if not threads:
                del self._conversations[entry.view.base.agent_id]


def _weight(entry: CachedAgent) -> int:
    return entry.view.length + 1
