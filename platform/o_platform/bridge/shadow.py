"""What a shadow's turns read and write: the state that the original turn opened with, and nothing.

A shadow gets a copy of a request that another instance answers. Its turn waits until the original
has opened, reads as of that moment, and its outcome is thrown away. The agent's version is always
answered as 0, so that the shadow does not build on what it would have written.
"""

from __future__ import annotations

from typing import Final

from o_contracts.bridge import ContextFound, ContextRead, TurnCommit
from o_contracts.messages import Message
from o_platform.agents.past_runs import Past
from o_platform.bridge.memo import Memo
from o_platform.bridge.records import Committed, Remembered, Settle
from o_platform.bridge.search import Search
from o_platform.bridge.snapshots import Snapshots
from o_platform.bridge.turn import Caller, Turn
from o_platform.bridge.views import AgentView
from o_platform.errors import ConflictError, NotFoundError
from o_tools.queries import ArchivalMemorySearch, ConversationSearch

ORIGINAL_WAIT_S: Final = 2.0


class NoOriginalError(ConflictError):
    """The turn that this shadow's request copies did not open."""

    code = "no_original"


class ShadowRecords:
    """The records of one shadow instance (see `records.Records`)."""

    def __init__(self, snapshots: Snapshots, search: Search) -> None:
        """`snapshots` are those of the stable and canary instances."""
        self._snapshots = snapshots
        self._search = search

    def needs_look_up(self, turn: Turn) -> bool:
        """Never: a shadow leaves nothing behind."""
        return False

    async def look_up(self, turn: Turn) -> Past:
        """Nothing."""
        return Past()

    def paid(self, turn: Turn) -> Memo | None:
        """What the original turn was answered, so far."""
        snapshot = self._snapshots.get(turn.opening.request.request_id)
        return None if snapshot is None else snapshot.memo

    def cached(self, turn: Turn) -> AgentView | None:
        """The agent as the original opened with it, if it has."""
        snapshot = self._snapshots.get(turn.opening.request.request_id)
        if snapshot is None or snapshot.view.thread_id != turn.key.thread_id:
            return None
        return snapshot.view

    async def load(self, turn: Turn) -> AgentView:
        """The agent as the original opened with it, once it has.

        Raises:
            NoOriginalError: it did not within two seconds, or is another agent's turn.
        """
        request = turn.opening.request
        snapshot = await self._snapshots.wait(request.request_id, wait_s=ORIGINAL_WAIT_S)
        if snapshot is None or snapshot.view.thread_id != request.agent_id:
            raise NoOriginalError(
                f"no turn of {request.agent_id} opened for request {request.request_id}",
                request_id=request.request_id,
            )
        return snapshot.view

    async def read(self, request: ContextRead, caller: Caller) -> ContextFound:
        """Nothing: what is not a turn is not copied.

        Raises:
            NotFoundError: always.
        """
        raise NotFoundError("a shadow reads only what turns open with")

    async def end_waiting(self, turn: Turn, agent_id: str) -> None:
        """Nothing is kept."""

    def commit(self, turn: Turn, body: TurnCommit, settle: Settle) -> None:
        """Throw the outcome away."""
        settle(Committed(0))

    async def search_messages(self, turn: Turn, query: ConversationSearch) -> list[Message]:
        """Messages of the agent's history as of the original turn's start."""
        snapshot = self._snapshots.get(turn.opening.request.request_id)
        before = snapshot.opened_at if snapshot else None
        return await self._search.messages(turn.agent_id, query, before=before)

    async def search_archive(self, turn: Turn, query: ArchivalMemorySearch) -> list[Remembered]:
        """Texts of the agent's archival memory."""
        return await self._search.archive(turn.agent_id, query)
