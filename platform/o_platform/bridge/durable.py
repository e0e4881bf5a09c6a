"""What stable and canary turns read and write: the database, by the cache and group commits."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec.structs import replace
from psycopg import AsyncConnection

from o_contracts.bridge import ContextFound, ContextRead, TurnCommit
from o_contracts.ids import is_conversation
from o_contracts.messages import AgentContext, Message
from o_platform.agents.background_turns import end_early, find_background
from o_platform.agents.past_runs import (
    FinishedRun,
    Past,
    agent_of,
    fetch_finished,
    fetch_past,
    find_repeated,
)
from o_platform.agents.request_keys import request_key
from o_platform.agents.stored_messages import stored_message
from o_platform.agents.turn_batch import ThreadTurnRecord, TurnRecord
from o_platform.agents.turns import LONGEST_HISTORY, LoadedAgent, count_searchable, load_agent
from o_platform.bridge.background import early_end
from o_platform.bridge.commits import GroupCommit
from o_platform.bridge.contexts import CachedAgent, ContextCache
from o_platform.bridge.memo import Memo
from o_platform.bridge.postgres import Postgres
from o_platform.bridge.records import Committed, Outcome, Remembered, Settle
from o_platform.bridge.search import Search
from o_platform.bridge.snapshots import Snapshots
from o_platform.bridge.turn import Caller, Turn
from o_platform.bridge.views import KEPT_MESSAGES, AgentView, shown_messages
from o_platform.bridge.writing import EndedTurn
from o_platform.db.sealing import Vault
from o_platform.errors import NotFoundError
from o_platform.llm.windows import ModelWindows
from o_tools.queries import ArchivalMemorySearch, ConversationSearch

RECOVERY_S: Final = 20.0
"""After its start the bridge looks every request up: it may have been opened on its predecessor
(instances try a turn again for 15 s)."""
_FAILED: Final = frozenset({"error", "llm_api_error", "invalid_llm_response"})


class DurableRecords:
    """The records of stable and canary instances (see `records.Records`)."""

    def __init__(
        self,
        postgres: Postgres,
        cache: ContextCache,
        snapshots: Snapshots,
        plain: GroupCommit[EndedTurn],
        threads: GroupCommit[EndedTurn],
        edited: GroupCommit[EndedTurn],
        search: Search,
        vault: Vault,
        windows: ModelWindows,
        *,
        wait_s: float,
    ) -> None:
        """`wait_s` is the longest wait while PostgreSQL is away.

        `threads` commits turns of conversations, `edited` those that did more than say something.
        """
        self._postgres = postgres
        self._cache = cache
        self._snapshots = snapshots
        self._plain = plain
        self._threads = threads
        self._edited = edited
        self._search = search
        self._vault = vault
        self._windows = windows
        self._wait_s = wait_s
        self._loop = asyncio.get_running_loop()
        self._recovered_at = self._loop.time() + RECOVERY_S

    def needs_look_up(self, turn: Turn) -> bool:
        """Whether an attempt may have been made that this process does not remember."""
        request = turn.opening.request
        if request.attempt > 1 or request.sdk_retry > 0 or request.otids or request.background:
            return True
        return self._loop.time() < self._recovered_at

    async def look_up(self, turn: Turn) -> Past:
        """The request's run, or the journal of its attempts; the agent is loaded meanwhile."""

        async def read(connection: AsyncConnection) -> Past:
            past = await fetch_past(connection, self._vault, *turn.key)
            if past.finished:
                return past
            run_id = await _background_run(connection, turn)
            return Past(await self._repeated(connection, turn), past.journal, run_id)

        looking_up = self._postgres.run(read, wait_s=self._wait_s)
        past, _ = await asyncio.gather(looking_up, self._warm(turn), return_exceptions=True)
        if isinstance(past, BaseException):
            raise past
        return past

    async def _warm(self, turn: Turn) -> None:
        """Load the agent of a turn that is next into the cache.

        Whatever fails here fails again for who needs the agent: the turn may have its outcome.
        """
        if turn.granted and self._cache.get(turn.key.thread_id) is None:
            await self._loaded(turn)

    def paid(self, turn: Turn) -> Memo | None:
        """What earlier attempts of the turn were answered."""
        return turn.memo

    def cached(self, turn: Turn) -> AgentView | None:
        """The agent from the cache, if that holds enough of its history."""
        entry = self._cache.get(turn.key.thread_id)
        if entry is None or entry.lineage != turn.opening.caller.lineage:
            return None
        if not entry.view.holds(
            shown_messages(entry.view.base.model, turn.opening.request.history)
        ):
            return None
        self._snapshots.put(turn.opening.request.request_id, entry.view, turn.memo)
        return entry.view

    async def load(self, turn: Turn) -> AgentView:
        """The agent from the database."""
        view = await self._loaded(turn)
        self._snapshots.put(turn.opening.request.request_id, view, turn.memo)
        return view

    async def _loaded(self, turn: Turn) -> AgentView:
        thread_id = turn.key.thread_id
        drops = self._cache.drops

        async def read(connection: AsyncConnection) -> LoadedAgent | None:
            wanted = _history(turn.opening.request.history)
            return await load_agent(connection, self._vault, thread_id, wanted)

        loaded = await self._postgres.run(read, wait_s=self._wait_s)
        if loaded is None or loaded.lineage != turn.opening.caller.lineage:
            kind = "Conversation" if is_conversation(thread_id) else "Agent"
            raise NotFoundError(f"{kind} {thread_id} not found", agent_id=thread_id)
        view = AgentView.of(await self._with_window(loaded.context))
        if self._cache.drops == drops:
            self._cache.put(CachedAgent(loaded.lineage, view))
        return view

    async def read(self, request: ContextRead, caller: Caller) -> ContextFound:
        """The agent from the database, as a turn would get it now."""
        thread_id = request.agent_id

        async def read(connection: AsyncConnection) -> ContextFound | None:
            wanted = _history(request.history)
            loaded = await load_agent(connection, self._vault, thread_id, wanted)
            if loaded is None or loaded.lineage != caller.lineage:
                return None
            counts = await count_searchable(connection, loaded.context.agent_id)
            return ContextFound(loaded.context, *counts)

        found = await self._postgres.run(read, wait_s=self._wait_s)
        if found is None:
            raise NotFoundError(f"Agent {thread_id} not found", agent_id=thread_id)
        context = await self._with_window(found.context)
        return replace(found, context=AgentView.of(context).shown(len(context.messages)))

    async def _with_window(self, context: AgentContext) -> AgentContext:
        """With the size of its context window: the model's, unless the agent has less."""
        window = await self._windows.of(context.model)
        limit = min(window, context.context_window or window)
        return replace(context, context_window=limit)

    async def end_waiting(self, turn: Turn, agent_id: str) -> None:
        """Store a run without messages for it."""

        async def record(connection: AsyncConnection) -> None:
            turn.run_id = await _background_run(connection, turn) or turn.run_id
            owner = await agent_of(connection, agent_id)
            await end_early(connection, early_end(turn, owner))

        await self._postgres.run(record, wait_s=self._wait_s)

    def commit(self, turn: Turn, body: TurnCommit, settle: Settle) -> None:
        """Have the turn written with the next batch."""
        view = turn.opened_view
        overlay = turn.overlay if turn.overlay else None

        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, Committed) and outcome.version:
                blocks = overlay.blocks() if overlay is not None else view.base.blocks
                self._cache.advance(view, view.after(outcome.version, body.messages, blocks))
            else:
                self._cache.drop((turn.key.thread_id,))
            if overlay is not None:
                self._cache.drop_others(view)
            settle(outcome)

        duration_us = int((self._loop.time() - turn.started_at) * 1e6)
        compaction = body.compaction
        record = _record(self._vault, turn, body, duration_us)
        traces = turn.traces(body)
        ended = EndedTurn(record, view.version, overlay, compaction, view.base.group_id, traces)
        is_plain = overlay is None and compaction is None and not traces and not ended.is_counted
        group = self._plain if is_plain else self._edited
        if is_plain and isinstance(ended.record, ThreadTurnRecord):
            group = self._threads
        group.submit(ended, settled)

    async def search_messages(self, turn: Turn, query: ConversationSearch) -> list[Message]:
        """Messages of the agent's history."""
        return await self._search.messages(turn.agent_id, query)

    async def search_archive(self, turn: Turn, query: ArchivalMemorySearch) -> list[Remembered]:
        """Texts of the agent's archival memory."""
        return await self._search.archive(turn.agent_id, query)

    async def _repeated(self, connection: AsyncConnection, turn: Turn) -> FinishedRun | None:
        """The run that an SDK's retry without any other name repeats."""
        request = turn.opening.request
        if request.sdk_retry == 0 or request.otids:
            return None
        if turn.key.request_key != request_key(request):
            return None  # The process remembers what it repeats, and that it has no outcome.
        agent_id = await agent_of(connection, turn.key.thread_id)
        earlier = await find_repeated(connection, agent_id, request.client, request.body_digest)
        return await fetch_finished(connection, self._vault, agent_id, earlier) if earlier else None


async def _background_run(connection: AsyncConnection, turn: Turn) -> str | None:
    """The id that the run of a background turn has had from the beginning."""
    if not turn.opening.request.background:
        return None
    return await find_background(connection, *turn.key)


def _history(wanted: int) -> int:
    return max(min(wanted, LONGEST_HISTORY), KEPT_MESSAGES)


def _record(vault: Vault, turn: Turn, body: TurnCommit, duration_us: int) -> TurnRecord:
    thread_id = turn.key.thread_id
    background = bool(turn.opening.request.background)
    conversation_id = thread_id if is_conversation(thread_id) else None
    values = _values(vault, turn, body, duration_us)
    if conversation_id is None and not background:
        return TurnRecord(*values)
    return ThreadTurnRecord(
        *values,
        conversation_id=conversation_id,
        background=background,
        edited=bool(turn.overlay),
    )


def _values(vault: Vault, turn: Turn, body: TurnCommit, duration_us: int) -> tuple[Any, ...]:
    """The fields of a `TurnRecord`, in order."""
    opening, usage = turn.opening, body.usage
    return (
        turn.run_id,
        turn.agent_id,
        turn.key.request_key,
        opening.request.body_digest,
        _status(body.stop_reason),
        body.stop_reason,
        opening.caller.variant,
        opening.caller.instance_id,
        opening.request.client,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_input_tokens,
        usage.reasoning_tokens,
        len(body.steps),
        duration_us,
        turn.journaled,
        [stored_message(vault, message) for message in body.messages],
        body.steps,
    )


def _status(stop_reason: str) -> str:
    if stop_reason == "cancelled":
        return "cancelled"
    return "failed" if stop_reason in _FAILED else "completed"
