"""Writes batches of turns: plain ones in one statement, those that do more in a transaction.

More is memory edits, the beginning of a context window, traces, or work for a sleep-time companion.

A turn's outcome is told from what its agent's version became: one more than the turn opened with
means that nobody else changed the agent, anything else that caches of it must be dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, cast

import msgspec
from msgspec.structs import astuple
from psycopg import AsyncConnection
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.bridge import Compaction
from o_contracts.messages import Block
from o_platform.agents.document_repository import write_windows
from o_platform.agents.past_runs import fetch_finished
from o_platform.agents.sleeptime_turns import Begun, count_turns
from o_platform.agents.step_traces import StepTrace, write_traces
from o_platform.agents.turn_batch import (
    BATCH_OPTIONS,
    AgentGoneError,
    DuplicateRunError,
    TurnRecord,
    TurnWriter,
    commit_turns,
)
from o_platform.agents.turn_blocks import Reshaping, reshape, taken_label
from o_platform.agents.turn_edits import (
    BlockValue,
    LockedBlock,
    lock,
    requests_with_run,
    write_blocks,
)
from o_platform.agents.turns import begin_window
from o_platform.agents.unit import HoldersChangedError
from o_platform.bridge.contexts import ContextCache
from o_platform.bridge.overlay import BlockEdits, MemoryConflictError, Overlay
from o_platform.bridge.postgres import AWAY, Postgres
from o_platform.bridge.records import Committed, Duplicate, Outcome, Refused
from o_platform.db.engine import Database
from o_platform.db.sealing import Vault
from o_platform.errors import NotFoundError
from o_platform.memory.passages import insert_passage

PAST_WAIT_S: Final = 10.0
_log = logging.getLogger(__name__)


class EndedTurn(NamedTuple):
    """A turn to be written; `base_version` is the agent's version that it opened with."""

    record: TurnRecord
    base_version: int
    overlay: Overlay | None = None
    compaction: Compaction | None = None
    group_id: str = ""
    """The group whose companion may have to work after it."""
    traces: Sequence[StepTrace] = ()

    @property
    def edited(self) -> Mapping[str, BlockEdits]:
        """Its edits by block id."""
        return self.overlay.edited if self.overlay is not None else {}

    @property
    def touched(self) -> list[str]:
        """Ids of the blocks that it edited, renamed or removed."""
        if self.overlay is None:
            return []
        return [*self.overlay.edited, *self.overlay.renamed, *self.overlay.removed]

    @property
    def agent_id(self) -> str:
        """Whose turn it is."""
        return self.record.agent_id

    @property
    def is_counted(self) -> bool:
        """Whether it is a turn after which a companion may have to work: a whole one."""
        record = self.record
        is_whole = record.status == "completed" and record.stop_reason != "requires_approval"
        return bool(self.group_id) and is_whole


class PlainWriter:
    """Writes turns without memory edits, over a connection of its own."""

    def __init__(self, postgres: Postgres, vault: Vault, *, threads: bool = False) -> None:
        """Connects at the first batch, or by `open`; `threads`: for turns of conversations."""
        self._postgres = postgres
        self._vault = vault
        self._threads = threads
        self._writer: TurnWriter | None = None

    async def open(self) -> TurnWriter:
        """Connect, before the first batch needs it or because it does.

        Raises:
            psycopg.OperationalError: PostgreSQL is away.
        """
        connection = await self._postgres.connect(BATCH_OPTIONS)
        self._writer = await TurnWriter.on(connection, threads=self._threads)
        return self._writer

    async def write(self, batch: Sequence[EndedTurn]) -> list[Outcome]:
        """Write the batch in one transaction; outcomes in its order."""
        writer = self._writer or await self.open()
        try:
            versions = await writer.write([turn.record for turn in batch])
        except (*AWAY, asyncio.CancelledError):
            await self.close()
            raise
        except (DuplicateRunError, AgentGoneError):
            if len(batch) > 1:
                raise
            past = partial(_past, vault=self._vault, turn=batch[0])
            return [await self._postgres.run(past, wait_s=PAST_WAIT_S)]
        return [_committed(turn, versions) for turn in batch]

    async def close(self) -> None:
        """Close the connection."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()


class EditWriter:
    """Writes turns that do more than to say something, all of it in their commit.

    Memory edits are compare-and-set on block versions.
    """

    def __init__(self, database: Database, cache: ContextCache) -> None:
        """`cache` forgets the agents that share an edited block."""
        self._database = database
        self._vault = database.vault
        self._cache = cache

    async def write(self, batch: Sequence[EndedTurn]) -> list[Outcome]:
        """Write the batch in one transaction; outcomes in its order."""
        while True:
            try:
                return await self._write(batch)
            except HoldersChangedError:
                _log.debug("an agent got a block of the batch; it is locked again")

    async def _write(self, batch: Sequence[EndedTurn]) -> list[Outcome]:
        async with self._database.unit_of_work() as session:
            connection = await _driver_connection(session)
            touched = [block_id for turn in batch for block_id in turn.touched]
            agents = [turn.agent_id for turn in batch]
            locked = await lock(connection, self._vault, agents, touched)
            fresh = await _without_run(connection, batch, locked.agents)
            edits = await _fitting_edits(connection, self._vault, fresh, locked.blocks)
            sharing = edits.sharing
            if edits.values:
                sharing |= await write_blocks(connection, self._vault, edits.values)
            written = [turn for turn in fresh if turn.agent_id not in edits.refused]
            for turn in written:
                await _insert_passages(session, turn)
                if turn.overlay is not None and turn.overlay.windows:
                    await write_windows(connection, turn.agent_id, turn.overlay.windows)
            versions = await commit_turns(connection, [turn.record for turn in written])
            await _begin_windows(connection, written)
            await write_traces(
                connection, self._vault, [t for turn in written for t in turn.traces]
            )
            begun = await _begin_companions(connection, self._vault, written)
            sharing |= begun.changed
            ended = {
                turn.agent_id: _committed(turn, versions, begun.run_ids.get(turn.agent_id))
                for turn in written
            }
            outcomes = [
                edits.refused.get(turn.agent_id)
                or ended.get(turn.agent_id)
                or await _past(connection, self._vault, turn)
                for turn in batch
            ]
        self._cache.drop(sharing)
        return outcomes


@dataclass(slots=True)
class _Edits:
    values: list[BlockValue] = field(default_factory=list)
    refused: dict[str, Refused] = field(default_factory=dict)
    """By agent id."""
    sharing: set[str] = field(default_factory=set)
    """Ids of agents that share what was renamed."""


async def _without_run(
    connection: AsyncConnection, batch: Sequence[EndedTurn], alive: frozenset[str]
) -> list[EndedTurn]:
    """The turns whose agent exists (it is locked) and whose request has no run yet."""
    requests = {(turn.agent_id, turn.record.request_key): turn for turn in batch}
    done = await requests_with_run(connection, list(requests))
    return [turn for name, turn in requests.items() if name not in done and turn.agent_id in alive]


async def _fitting_edits(
    connection: AsyncConnection,
    vault: Vault,
    turns: Sequence[EndedTurn],
    locked: dict[str, LockedBlock],
) -> _Edits:
    """What to write to the blocks, and the turns whose edits do not fit what they are now.

    Blocks that turns made, removed or renamed have become so when it returns.
    """
    edits = _Edits()
    for turn in turns:
        try:
            following = {
                block_id: _following(turn.agent_id, locked.get(block_id), block_edits)
                for block_id, block_edits in turn.edited.items()
            }
            edits.sharing |= await _reshaped(connection, vault, turn)
        except MemoryConflictError as error:
            edits.refused[turn.agent_id] = Refused(error)
            continue
        edits.values += [
            _block_value(turn, locked[block_id].block, after.block)
            for block_id, after in following.items()
        ]
        locked |= following
    return edits


def _block_value(turn: EndedTurn, before: Block, after: Block) -> BlockValue:
    why = ", ".join(dict.fromkeys(turn.edited[after.id].tools))
    return BlockValue(
        after.id, turn.agent_id, after.value, after.version, before.value, why, turn.record.run_id
    )


async def _reshaped(connection: AsyncConnection, vault: Vault, turn: EndedTurn) -> set[str]:
    """Make, remove and rename what the turn did; the agents that share what was renamed."""
    overlay = turn.overlay
    if overlay is None or not overlay.reshapes:
        return set()
    shape = Reshaping(
        turn.agent_id,
        turn.record.run_id,
        list(overlay.created.values()),
        overlay.removed,
        overlay.renamed,
    )
    label = await taken_label(connection, shape)
    if label is not None:
        raise MemoryConflictError(
            f"another block got the label {label!r} while the turn ran; run the turn again",
            label=label,
        )
    return await reshape(connection, vault, shape)


def _following(agent_id: str, now: LockedBlock | None, edits: BlockEdits) -> LockedBlock:
    if now is None or agent_id not in now.agent_ids:
        raise edits.conflict("the agent does not have it any more")
    value = edits.value_on(now.block)
    after = msgspec.structs.replace(now.block, value=value, version=now.block.version + 1)
    return LockedBlock(after, now.agent_ids)


async def _insert_passages(session: AsyncSession, turn: EndedTurn) -> None:
    if turn.overlay is not None:
        for passage in turn.overlay.passages:
            await insert_passage(session, turn.agent_id, passage.text, passage.tags, {})


async def _begin_windows(connection: AsyncConnection, turns: Sequence[EndedTurn]) -> None:
    for turn in turns:
        if turn.compaction is not None:
            record, (summary_id, kept) = turn.record, astuple(turn.compaction)
            thread = getattr(record, "conversation_id", None) or record.agent_id
            await begin_window(connection, record.agent_id, thread, summary_id, kept)


async def _begin_companions(
    connection: AsyncConnection, vault: Vault, turns: Sequence[EndedTurn]
) -> Begun:
    group_ids = [turn.group_id for turn in turns if turn.is_counted]
    return await count_turns(connection, vault, group_ids) if group_ids else Begun()


async def _driver_connection(session: AsyncSession) -> AsyncConnection:
    raw = await (await session.connection()).get_raw_connection()
    return cast(AsyncConnection, raw.driver_connection)


def _committed(turn: EndedTurn, versions: Mapping[str, int], begun: str | None = None) -> Committed:
    version = versions[turn.record.run_id]
    is_next = version == turn.base_version + 1 and turn.compaction is None
    return Committed(version if is_next else 0, [begun] if begun else ())


async def _past(connection: AsyncConnection, vault: Vault, turn: EndedTurn) -> Outcome:
    """What became of a turn whose request has a run already, or whose agent is gone."""
    finished = await fetch_finished(connection, vault, turn.agent_id, turn.record.request_key)
    if finished is None:
        return Refused(NotFoundError(f"Agent {turn.agent_id} not found", agent_id=turn.agent_id))
    if finished.run_id == turn.record.run_id:
        # Our own earlier try was durable, only its answer was lost.
        return Committed(0)
    return Duplicate(finished)
