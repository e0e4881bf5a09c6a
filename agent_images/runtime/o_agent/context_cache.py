"""Compiled contexts of the agents a worker served last, bounded in number and in memory.

The bridge's version always wins: a turn tells it which version the cache has, and gets a new
context if that is not the current one. So a stale entry costs a transfer, never a wrong answer.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from o_agent.context import CompiledContext

MAX_AGENTS: Final = 20_000
MAX_BYTES: Final = 48 * 1024 * 1024
"""Estimated; an instance has 150 MB by default, for two workers and PID 1."""


class ContextCache:
    """Least recently used entries go first."""

    __slots__ = ("_bytes", "_entries", "_max_agents", "_max_bytes")

    def __init__(self, max_agents: int = MAX_AGENTS, max_bytes: int = MAX_BYTES) -> None:
        """`max_bytes` bounds the sum of the entries' estimated sizes."""
        self._entries: OrderedDict[str, tuple[CompiledContext, int]] = OrderedDict()
        self._bytes = 0
        self._max_agents = max_agents
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        """How many agents are cached."""
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Estimated memory of all entries."""
        return self._bytes

    def get(self, thread_id: str) -> CompiledContext | None:
        """The newest context known of an agent in a conversation."""
        entry = self._entries.get(thread_id)
        if entry is None:
            return None
        self._entries.move_to_end(thread_id)
        return entry[0]

    def put(self, context: CompiledContext) -> None:
        """Keep a context, unless a newer one of the same agent is there."""
        thread_id = context.agent.thread_id
        old = self._entries.get(thread_id)
        if old is not None:
            if old[0].version > context.version:
                return
            self._bytes -= old[1]
        size = context.size_bytes
        self._entries[thread_id] = (context, size)
        self._entries.move_to_end(thread_id)
        self._bytes += size
        while self._bytes > self._max_bytes or len(self._entries) > self._max_agents:
            self._drop_oldest()

    def drop(self, thread_id: str) -> None:
        """Forget a conversation."""
        entry = self._entries.pop(thread_id, None)
        if entry is not None:
            self._bytes -= entry[1]

    def _drop_oldest(self) -> None:
        _, (_, size) = self._entries.popitem(last=False)
        self._bytes -= size
