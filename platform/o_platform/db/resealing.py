"""Seals with the key in force what is plain yet, or sealed with a former key.

The job after an upgrade and after a rotation. It goes through the tables by their keys, a batch at
a time, and the database knows how far it has come (`EncryptionKey.progress`), so that it goes on
after a restart. A row is changed only if nobody did meanwhile; whoever did has used the key in
force. Marks of passages are made anew with it, too.

What was on its way when the key was made may have been sealed with the former one, and written
behind the job's back. So in the end, when nothing of that time can be under way any more, it looks
once more for rows that the key in force did not seal.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

import msgspec
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Table,
    Text,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy import cast as cast_sql
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.messages import Message
from o_platform.db import marks
from o_platform.db.engine import CHANNEL_SEALING, Database, announce
from o_platform.db.models import EncryptionKey, IndexedMessage
from o_platform.db.sealed_columns import MESSAGE_BODY, PASSAGE_TEXT, SEALED, SealedColumn
from o_platform.db.sealing import Vault, sealed_with
from o_platform.errors import OError

BATCH: Final = 500
"""Rows at a time, unless a column says fewer."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one table has come: rows looked at, of how many when it began."""

    table: str
    done: int
    total: int
    is_complete: bool


class Resealing:
    """The job; each `step` is a batch."""

    def __init__(self, database: Database, *, in_flight_s: float = 0.0) -> None:
        """Seals with the current key of the database's vault.

        Args:
            database: what is gone through.
            in_flight_s: how long what was sealed before there was the key may take to be written.
        """
        self._database = database
        self._in_flight = timedelta(seconds=in_flight_s)

    async def step(self) -> bool:
        """Do the next batch; returns whether there was anything to do."""
        vault = self._database.vault
        async with self._database.unit_of_work() as session:
            key = await session.get(EncryptionKey, vault.current.id, with_for_update=True)
            if key is None or key.sealed_at is not None:
                return False
            for sealed in SEALED:
                part = dict(key.progress.get(sealed.name) or await _begun(session, sealed))
                if not part.get("complete"):
                    await _seal_next(session, vault, sealed, part)
                    key.progress = {**key.progress, sealed.name: part}
                    return True
            if not await _is_older(session, key, self._in_flight):
                return False
            for sealed in SEALED:
                await _seal_rest(session, vault, sealed)
            key.sealed_at = func.now()
            _log.info("everything is sealed with the key %s", key.id)
            return True

    async def register(self) -> None:
        """Let the vault's current key take over; sealing anew begins."""
        async with self._database.unit_of_work() as session:
            session.add(EncryptionKey(id=self._database.vault.current.id))
            await announce(session, CHANNEL_SEALING, self._database.vault.current.id)

    async def keys(self) -> Sequence[EncryptionKey]:
        """The keys that the database has seen, the newest first."""
        async with self._database.unit_of_work() as session:
            newest = select(EncryptionKey).order_by(EncryptionKey.created_at.desc())
            return list(await session.scalars(newest))


def progress_of(key: EncryptionKey) -> list[Progress]:
    """How far each table has come."""
    parts = ((sealed.name, key.progress.get(sealed.name) or {}) for sealed in SEALED)
    return [
        Progress(table, part.get("done", 0), part.get("total", 0), bool(part.get("complete")))
        for table, part in parts
    ]


async def _begun(session: AsyncSession, sealed: SealedColumn) -> dict[str, Any]:
    total = await session.scalar(select(func.count()).select_from(sealed.model))
    return {"done": 0, "total": total or 0, "after": None}


async def _is_older(session: AsyncSession, key: EncryptionKey, age: timedelta) -> bool:
    older = select(EncryptionKey.id).where(
        EncryptionKey.id == key.id, EncryptionKey.created_at <= func.now() - age
    )
    return await session.scalar(older) is not None


async def _seal_rest(session: AsyncSession, vault: Vault, sealed: SealedColumn) -> None:
    """Seal anew what the key in force did not; few rows, or none."""
    column = _table(sealed).c[sealed.column]
    due = column.is_not(None) & ~func.starts_with(cast_sql(column, Text), _begin(sealed, vault))
    after: list[Any] | None = None
    while rows := await _fetch(session, sealed, after, due):
        for row in rows:
            await _seal_row(session, vault, sealed, row)
        after = list(rows[-1].key)


def _begin(sealed: SealedColumn, vault: Vault) -> str:
    """What a value begins with that the key in force sealed, as PostgreSQL writes it as text."""
    begins = sealed_with(vault.current)
    if isinstance(_table(sealed).c[sealed.column].type, LargeBinary):
        return f"\\x{begins.encode().hex()}"
    return f'"{begins}' if sealed.is_json else begins


async def _seal_next(
    session: AsyncSession, vault: Vault, sealed: SealedColumn, part: dict[str, Any]
) -> None:
    rows = await _fetch(session, sealed, part["after"])
    for row in rows:
        if _is_due(row.stored, vault):
            await _seal_row(session, vault, sealed, row)
    part["done"] += len(rows)
    part["complete"] = len(rows) < _at_once(sealed)
    if rows:
        part["after"] = list(rows[-1].key)


def _at_once(sealed: SealedColumn) -> int:
    return min(BATCH, sealed.batch)


def _is_due(stored: Any, vault: Vault) -> bool:
    begins = sealed_with(vault.current)
    if isinstance(stored, bytes):
        return not stored.startswith(begins.encode())
    if isinstance(stored, str):
        return not stored.startswith(begins)
    return stored is not None


@dataclass(frozen=True, slots=True)
class _Row:
    key: tuple[Any, ...]
    """What orders the rows."""
    name: tuple[Any, ...]
    """What a value is bound to."""
    stored: Any


def _table(sealed: SealedColumn) -> Table:
    return cast(Table, sealed.model.__table__)


def _order(sealed: SealedColumn) -> list[Any]:
    return list(_table(sealed).primary_key.columns)


async def _fetch(
    session: AsyncSession,
    sealed: SealedColumn,
    after: list[Any] | None,
    which: ColumnElement[bool] | None = None,
) -> Sequence[_Row]:
    table = _table(sealed)
    order, names = _order(sealed), [table.c[name] for name in sealed.row]
    wanted = select(*order, *names, table.c[sealed.column]).order_by(*order).limit(_at_once(sealed))
    if which is not None:
        wanted = wanted.where(which)
    if after is not None:
        wanted = wanted.where(_follows(order, after))
    width = len(order)
    return [
        _Row(tuple(row[:width]), tuple(row[width:-1]), row[-1])
        for row in await session.execute(wanted)
    ]


def _follows(order: list[Any], after: list[Any]) -> ColumnElement[bool]:
    values = (literal(value, column.type) for value, column in zip(after, order, strict=True))
    return tuple_(*order) > tuple_(*values)


async def _seal_row(session: AsyncSession, vault: Vault, sealed: SealedColumn, row: _Row) -> None:
    try:
        value = sealed.opened(vault, row.stored, *row.name)
    except OError as error:
        # It cannot be read with any key; it stays as it is, and says so to whoever reads it.
        _log.error("a value was not sealed anew: %s", error.message, extra=error.detail)
        return
    table = _table(sealed)
    column = table.c[sealed.column]
    values: dict[Any, Any] = {column: sealed.as_stored(vault, value, *row.name)}
    if sealed is PASSAGE_TEXT:
        values[table.c.words] = marks.vector(vault, value)
    elif sealed is MESSAGE_BODY:
        await _mark_anew(session, vault, row.key[0], value)
    as_it_was = column == literal(row.stored, column.type)
    same = (as_it_was, *(c == v for c, v in zip(_order(sealed), row.key, strict=True)))
    await session.execute(update(table).where(*same).values(values))


async def _mark_anew(session: AsyncSession, vault: Vault, seq: int, body: dict[str, Any]) -> None:
    """Marks of a message in the index of recall, if it is there."""
    words = marks.vector(vault, msgspec.convert(body, Message).text)
    held = update(IndexedMessage).where(IndexedMessage.seq == seq)
    await session.execute(held.values(words=words))
