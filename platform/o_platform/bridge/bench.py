"""What a bench instance's turns read and write: agents made up at their first turn, in memory.

Load and contract gates need turns that cost what real ones cost to the instance, and that leave no
trace. Bench agents are told by their ids (lineage key 0xFFFFFFFF); no other agent can be reached.
"""

from __future__ import annotations

from typing import Final

from o_contracts.bridge import ContextFound, ContextRead, TurnCommit
from o_contracts.ids import BENCH_LINEAGE_KEY
from o_contracts.messages import AgentContext, Block, Message
from o_platform.agents.defaults import (
    BLOCK_DESCRIPTIONS,
    DEFAULT_AGENT_TYPE,
    DEFAULT_BLOCK_LIMIT,
    DEFAULT_SYSTEM,
    DEFAULT_TOOLS,
)
from o_platform.agents.past_runs import Past
from o_platform.bridge.lru import Lru
from o_platform.bridge.memo import Memo
from o_platform.bridge.records import Committed, Remembered, Settle
from o_platform.bridge.turn import Caller, Turn
from o_platform.bridge.views import AgentView
from o_platform.errors import NotFoundError
from o_tools.catalogue import specs_of
from o_tools.queries import ArchivalMemorySearch, ConversationSearch

BENCH_AGENTS: Final = 10_000
KEPT_TEXTS: Final = 100
BENCH_MODEL: Final = "o/echo"
_PREFIX: Final = f"agent-{BENCH_LINEAGE_KEY:08x}-"


class BenchRecords:
    """The records of one bench instance (see `records.Records`)."""

    def __init__(self) -> None:
        """No agents yet."""
        self._agents: Lru[str, AgentView] = Lru(BENCH_AGENTS)
        self._archive: Lru[str, list[Remembered]] = Lru(BENCH_AGENTS)

    def needs_look_up(self, turn: Turn) -> bool:
        """Never: everything is in memory."""
        return False

    async def look_up(self, turn: Turn) -> Past:
        """Nothing."""
        return Past()

    def paid(self, turn: Turn) -> Memo | None:
        """Nothing: a bench reaches nothing outside."""
        return None

    def cached(self, turn: Turn) -> AgentView | None:
        """The agent, made up at its first turn; None for any that is not a bench agent."""
        agent_id = turn.key.thread_id
        view = self._agents.get(agent_id)
        if view is None and agent_id.startswith(_PREFIX):
            view = AgentView.of(bench_agent(agent_id))
            self._agents.put(agent_id, view)
        return view

    async def load(self, turn: Turn) -> AgentView:
        """Nothing more than `cached`.

        Raises:
            NotFoundError: always.
        """
        agent_id = turn.key.thread_id
        raise NotFoundError(f"Agent {agent_id} not found", agent_id=agent_id)

    async def read(self, request: ContextRead, caller: Caller) -> ContextFound:
        """An agent as it is before its first turn."""
        return ContextFound(bench_agent(request.agent_id), 0, 0)

    async def end_waiting(self, turn: Turn, agent_id: str) -> None:
        """Nothing is kept."""

    def commit(self, turn: Turn, body: TurnCommit, settle: Settle) -> None:
        """Keep the outcome in memory."""
        view = turn.opened_view
        blocks = view.base.blocks
        if turn.overlay is not None:
            blocks = turn.overlay.blocks()
            self._remember(turn)
        following = view.after(view.version + 1, body.messages, blocks)
        self._agents.put(turn.key.thread_id, following)
        settle(Committed(following.version))

    async def search_messages(self, turn: Turn, query: ConversationSearch) -> list[Message]:
        """The agent's newest messages that hold the query's text."""
        words = query.query.lower()
        found = [m for m in turn.opened_view.messages() if words in str(m.content).lower()]
        return found[::-1][: query.limit]

    async def search_archive(self, turn: Turn, query: ArchivalMemorySearch) -> list[Remembered]:
        """The agent's texts, newest first."""
        return (self._archive.get(turn.key.thread_id) or [])[::-1][: query.top_k]

    def _remember(self, turn: Turn) -> None:
        texts = self._archive.get(turn.key.thread_id) or []
        added = [Remembered(text, tags, None) for text, tags in turn.edits().passages]
        self._archive.put(turn.key.thread_id, [*texts, *added][-KEPT_TEXTS:])


def bench_agent(agent_id: str) -> AgentContext:
    """A bench agent before its first turn."""
    key = agent_id.removeprefix("agent-")
    blocks = [
        Block(
            id=f"block-{key}-{label}",
            label=label,
            value="",
            limit=DEFAULT_BLOCK_LIMIT,
            description=BLOCK_DESCRIPTIONS.get(label),
        )
        for label in ("persona", "human")
    ]
    return AgentContext(
        agent_id=agent_id,
        version=1,
        name="bench",
        agent_type=DEFAULT_AGENT_TYPE,
        system=DEFAULT_SYSTEM,
        model=BENCH_MODEL,
        model_settings={},
        blocks=blocks,
        tools=specs_of(DEFAULT_TOOLS),
        messages=[],
    )
