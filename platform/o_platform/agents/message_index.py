"""Fills the index that recall searches, off the path of turns.

The job takes messages in the order they were stored, a few at a time, and rests in between, longer
while clients ask for much (`wiring.recall_keeper`). What it has not come to yet is
searched by its words all the same (`recall`). Transactions may end out of order, so it looks back
over the newest rows for those that were not there before: at first, and whenever it has caught up.
When the model changes, vectors are made anew.

Of an agent with more than `LONG` messages the vectors join an approximate index, the older ones a
few at a time. Whether an agent has so many is looked at for one message of each batch: who says
much is looked at often.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Select, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from o_contracts import messages as contract
from o_platform.db import marks
from o_platform.db.engine import Database
from o_platform.db.models import IndexedMessage, LongHistory, Message
from o_platform.memory.embedders import Embedders, Vector

BATCH: Final = 64
LONG: Final = 10_000
"""Messages up to which the vectors of an agent are compared one by one."""
AT_ONCE: Final = 8
"""Texts that are embedded before others get their turn on the event loop."""
LOOK_BACK: Final = 10_000
"""Rows below the newest indexed one among which late ones are looked for."""
INDEXED_TYPES: Final = (
    "user_message",
    "assistant_message",
    "tool_return_message",
    "reasoning_message",
    "system_message",
    "summary_message",
)
LONGEST_TEXT: Final = 20_000
"""Characters of a message that are indexed."""
_log = logging.getLogger(__name__)


class MessageIndexing:
    """The job; each `step` is a batch."""

    def __init__(self, database: Database, embedders: Embedders, model: str) -> None:
        """`model` is the handle of the embedding model that messages have."""
        self._database = database
        self._embedders = embedders
        self._model = model
        self._may_be_stale = True
        self._looks_back = True
        """Whether it has caught up, or has not begun."""

    async def step(self) -> int:
        """Index the next messages; returns how many there were."""
        rows = await self._missing()
        if not rows and self._may_be_stale:
            rows = await self._rows(_stale(self._model))
            self._may_be_stale = bool(rows)
        if not rows:
            return await self._lengthen()
        await self._index(rows)
        await self._look_at(random.choice(rows).agent_id)  # noqa: S311 - a sample
        return len(rows)

    async def newest(self) -> int:
        """The newest message's number: how fast it grows tells how busy the platform is."""
        async with self._database.unit_of_work() as session:
            return await session.scalar(select(func.max(Message.seq))) or 0

    async def _missing(self) -> Sequence[Message]:
        """The next ones: late ones, if it looks for them, then those that follow."""
        async with self._database.unit_of_work() as session:
            newest = await session.scalar(select(func.max(IndexedMessage.seq))) or 0
        late = await self._rows(_late(newest)) if self._looks_back else []
        new = await self._rows(_of_interest().where(Message.seq > newest), BATCH - len(late))
        self._looks_back = len(late) == BATCH or len(late) + len(new) < BATCH
        return [*late, *new]

    async def _rows(self, wanted: Select[Message], limit: int = BATCH) -> Sequence[Message]:
        async with self._database.unit_of_work() as session:
            return list(await session.scalars(wanted.limit(limit)))

    async def _index(self, rows: Sequence[Message]) -> None:
        texts = [_text(row) for row in rows]
        vectors = await self._vectors(texts)
        vault = self._database.vault
        values = [
            {
                "seq": row.seq, "agent_id": row.agent_id, "conversation_id": row.conversation_id,
                "type": row.type, "words": marks.vector(vault, text), "model": self._model,
                "embedding": vector, "created_at": row.created_at,
            }
            for row, text, vector in zip(rows, texts, vectors, strict=True)
        ]  # fmt: skip
        async with self._database.unit_of_work() as session:
            there = select(Message.seq).where(Message.seq.in_([row.seq for row in rows]))
            alive = set(await session.scalars(there.with_for_update(key_share=True)))
            kept = [value for value in values if value["seq"] in alive]
            if not kept:
                return
            long = select(LongHistory.agent_id)
            long = long.where(LongHistory.agent_id.in_({row.agent_id for row in rows}))
            long_ones = set(await session.scalars(long))
            kept = [value | {"is_long": value["agent_id"] in long_ones} for value in kept]
            add = insert(IndexedMessage).values(kept)
            made = {name: add.excluded[name] for name in ("words", "model", "embedding")}
            again = add.on_conflict_do_update(index_elements=[IndexedMessage.seq], set_=made)
            await session.execute(again)

    async def _look_at(self, agent_id: str) -> None:
        """Note the agent if its history has become long."""
        some = select(literal(1)).where(IndexedMessage.agent_id == agent_id).limit(LONG + 1)
        async with self._database.unit_of_work() as session:
            if (
                await session.scalar(select(func.count()).select_from(some.subquery())) or 0
            ) > LONG:
                noted = insert(LongHistory).values(agent_id=agent_id)
                await session.execute(noted.on_conflict_do_nothing())

    async def _lengthen(self) -> int:
        """Let older messages of a long history join the approximate index; returns how many."""
        unfinished = select(LongHistory).where(~LongHistory.is_complete).limit(1)
        async with self._database.unit_of_work() as session:
            history = await session.scalar(unfinished.with_for_update())
            if history is None:
                return 0
            following = (
                select(IndexedMessage.seq)
                .where(
                    IndexedMessage.agent_id == history.agent_id,
                    IndexedMessage.seq > history.added_up_to,
                )
                .order_by(IndexedMessage.seq)
                .limit(BATCH)
            )
            seqs = list(await session.scalars(following))
            joined = update(IndexedMessage).where(
                IndexedMessage.seq.in_(seqs), ~IndexedMessage.is_long
            )
            await session.execute(joined.values(is_long=True))
            history.added_up_to = seqs[-1] if seqs else history.added_up_to
            history.is_complete = not seqs
            return len(seqs)

    async def _vectors(self, texts: Sequence[str]) -> list[Vector]:
        embedder = self._embedders.get(self._model)
        vectors: list[Vector] = []
        for start in range(0, len(texts), AT_ONCE):
            vectors += await embedder.embed(texts[start : start + AT_ONCE])
            await asyncio.sleep(0)
        return vectors


def _text(row: Message) -> str:
    text = msgspec.convert(row.body, contract.Message).text[:LONGEST_TEXT]
    return text or " "


def _of_interest() -> Select[Message]:
    return select(Message).where(Message.type.in_(INDEXED_TYPES)).order_by(Message.seq)


def _late(newest: int) -> Select[Message]:
    """Rows below the newest indexed one that are not indexed.

    Both sides are bounded: the whole index would be compared with else, with each look.
    """
    bounds = [row.seq.between(newest - LOOK_BACK, newest) for row in (Message, IndexedMessage)]
    indexed = exists().where(IndexedMessage.seq == Message.seq, bounds[1])
    return _of_interest().where(bounds[0], ~indexed)


def _stale(model: str) -> Select[Message]:
    joined = select(Message).join(IndexedMessage, IndexedMessage.seq == Message.seq)
    return joined.where(IndexedMessage.model != model).order_by(Message.seq)
