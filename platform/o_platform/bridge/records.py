"""What a role's turns read, and where they are written.

The service of turns is the same for every role; these differ: `durable.DurableRecords` (stable and
canary), `shadow.ShadowRecords` and `bench.BenchRecords`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from o_contracts.bridge import ContextFound, ContextRead, TurnCommit
from o_contracts.messages import Message
from o_platform.agents.past_runs import FinishedRun, Past
from o_platform.bridge.memo import Memo
from o_platform.bridge.turn import Caller, Turn
from o_platform.bridge.views import AgentView
from o_platform.errors import OError
from o_tools.queries import ArchivalMemorySearch, ConversationSearch


class Committed(NamedTuple):
    """The turn is durable. `version` of the agent, 0 when caches of it must be dropped.

    `begun` are background runs that it led to.
    """

    version: int
    begun: Sequence[str] = ()


class Duplicate(NamedTuple):
    """The request has an outcome already, of another attempt."""

    finished: FinishedRun


class Refused(NamedTuple):
    """The turn was not written."""

    error: OError


Outcome = Committed | Duplicate | Refused
Settle = Callable[[Outcome], None]


class Remembered(NamedTuple):
    """A text found in archival memory."""

    text: str
    tags: list[str]
    created_at: datetime | None


class Records(Protocol):
    """The reading and writing side of one role."""

    def needs_look_up(self, turn: Turn) -> bool:
        """Whether `look_up` could know more of this request than the process remembers."""
        ...

    async def look_up(self, turn: Turn) -> Past:
        """What an earlier attempt of the request left behind.

        Raises:
            DatabaseUnavailableError: it cannot be found out now.
        """
        ...

    def paid(self, turn: Turn) -> Memo | None:
        """What answers its calls to the outside: its own memo, or that of the turn it copies."""
        ...

    def cached(self, turn: Turn) -> AgentView | None:
        """The agent, if it is at hand."""
        ...

    async def load(self, turn: Turn) -> AgentView:
        """The agent.

        Raises:
            NotFoundError: this caller has no such agent.
            DatabaseUnavailableError: it cannot be read now.
        """
        ...

    async def read(self, request: ContextRead, caller: Caller) -> ContextFound:
        """An agent as it is now, without a turn.

        Raises:
            NotFoundError: this caller has no such agent.
            DatabaseUnavailableError: it cannot be read now.
        """
        ...

    async def end_waiting(self, turn: Turn, agent_id: str) -> None:
        """Keep that a turn was cancelled before it began.

        Raises:
            DatabaseUnavailableError: it cannot be kept now.
        """
        ...

    def commit(self, turn: Turn, body: TurnCommit, settle: Settle) -> None:
        """Write the turn's outcome; `settle` is called once, when it is durable or refused."""
        ...

    async def search_messages(self, turn: Turn, query: ConversationSearch) -> list[Message]:
        """Messages of the agent's history that match, newest first."""
        ...

    async def search_archive(self, turn: Turn, query: ArchivalMemorySearch) -> list[Remembered]:
        """Texts of the agent's archival memory, nearest first."""
        ...
