"""Queries on blocks, and on who holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents import block_history
from o_platform.agents.group_writes import GroupWrites
from o_platform.agents.paging import Page
from o_platform.agents.selection import Selection
from o_platform.agents.unit import HoldersChangedError
from o_platform.db.detached import Detached
from o_platform.db.engine import CHANNEL_AGENTS, Ask, Exchange, Value, Wanted
from o_platform.db.line import Statement, statement
from o_platform.db.models import Block, BlockVersion
from o_platform.db.scan import contains, scan
from o_platform.db.sealed_columns import BLOCK_VALUE
from o_platform.db.sealing import Vault

_KEYS: Final = ("r.created_at", "r.id")
_HOLDERS: Final = "(SELECT count(*) FROM agent_blocks ab WHERE ab.block_id = r.id)"
_BLOCK: Final = Statement("SELECT row_to_json(r)::text FROM blocks AS r WHERE r.id = $1")
_BY_LABEL: Final = Statement(
    "SELECT row_to_json(r)::text FROM agent_blocks ab JOIN blocks r ON r.id = ab.block_id "
    "WHERE ab.agent_id = $1 AND ab.label = $2"
)
_INSERT: Final = Statement(
    """
    INSERT INTO blocks AS r (id, label, value, char_limit, description, read_only, metadata, tags)
    SELECT id, label, value, char_limit, description, read_only, metadata, tags
    FROM jsonb_to_record($1::jsonb) AS b(
      id text, label text, value text, char_limit int, description text, read_only boolean,
      metadata jsonb, tags text[])
    RETURNING row_to_json(r)::text
    """
)
_LOCK_HOLDERS: Final = Statement(
    "SELECT to_json(id)::text FROM agents "
    "WHERE id = ANY (ARRAY(SELECT agent_id FROM agent_blocks WHERE block_id = $1)) "
    "ORDER BY id FOR UPDATE"
)
_LOCK: Final = Statement("SELECT NULL FROM blocks WHERE id = $1 FOR UPDATE")
_HOLDER_IDS: Final = (
    "ARRAY(SELECT agent_id FROM agent_blocks WHERE block_id = $1 ORDER BY agent_id)"
)
_WHOLE: Final = Statement(
    "SELECT json_build_object('block', row_to_json(r), "  # noqa: S608
    f"'present', ({block_history.PRESENT}), 'holders', {_HOLDER_IDS})::text "
    "FROM blocks AS r WHERE r.id = $1"
)
_HOLDER_OF_OTHER: Final = Statement(
    "SELECT to_json(other.agent_id)::text FROM agent_blocks held JOIN agent_blocks other "
    "ON other.agent_id = held.agent_id AND other.block_id <> held.block_id "
    "WHERE held.block_id = $1 AND other.label = $2 ORDER BY other.agent_id LIMIT 1"
)
_RELABEL: Final = Statement("UPDATE agent_blocks SET label = $2 WHERE block_id = $1")
_BUMP: Final = """
holder AS (
  UPDATE agents SET version = version + 1, updated_at = now()
  WHERE id {holders} RETURNING id
)
"""
_OF_BLOCK: Final = (
    "IN (SELECT ab.agent_id FROM agent_blocks AS ab JOIN block ON ab.block_id = block.id)"
)
"""Not by the array of their ids: as long as PostgreSQL does not know an array, it takes it for a
long one, and so would make a plan anew for each edit."""
_TOLD: Final = f"(SELECT count(pg_notify('{CHANNEL_AGENTS}', id)) FROM holder)"  # noqa: S608
_EDIT: Final = (
    "WITH block AS (UPDATE blocks AS r SET {settings} WHERE r.id = $1 "  # noqa: S608
    f"AND r.version = $3::bigint AND {_HOLDER_IDS} = $4::text[] RETURNING r.*),"
    "{parts} SELECT row_to_json(block)::text{told} FROM block"
)
_TOLD_HOLDERS: Final = _BUMP.format(holders=_OF_BLOCK)
_DELETE: Final = Statement(
    f"WITH block AS (DELETE FROM blocks WHERE id = $1),{_BUMP.format(holders='= ANY ($2::text[])')}"  # noqa: S608
    f"SELECT NULL, {_TOLD}"
)
_KINDS: Final = {"metadata": "::jsonb", "tags": "::text[]"}
detached: Final = Detached(Block)


@dataclass(frozen=True, slots=True)
class BlockFilter:
    """Which blocks to list; what is absent does not restrict."""

    label: str | None = None
    label_search: str | None = None
    value_search: str | None = None
    description_search: str | None = None
    tags: Sequence[str] = ()
    match_all_tags: bool = False
    holders_more_than: int | None = None
    holders_less_than: int | None = None
    holders_exactly: Sequence[int] = ()


async def fetch_block(ask: Ask, vault: Vault, block_id: str) -> Block | None:
    """The block with this id."""
    rows = await ask(_BLOCK, block_id)
    return detached(vault, rows[0]) if rows else None


async def lock_block(session: AsyncSession, block_id: str) -> Block | None:
    """The block with this id, locked until the transaction ends."""
    return await session.get(Block, block_id, with_for_update=True, populate_existing=True)


async def fetch_block_by_label(ask: Ask, vault: Vault, agent_id: str, label: str) -> Block | None:
    """The block that the agent holds under this label."""
    rows = await ask(_BY_LABEL, agent_id, label)
    return detached(vault, rows[0]) if rows else None


async def insert_block(writes: GroupWrites, vault: Vault, row: dict[str, Any]) -> Block:
    """Insert a block that no agent holds; `row` are its columns, not sealed yet."""
    sealed = row | {"value": BLOCK_VALUE.sealed(vault, row["value"], row["id"])}
    (made,) = await writes.insert(_INSERT, msgspec.json.encode(sealed).decode())
    return detached(vault, made)


@dataclass(frozen=True, slots=True)
class WholeBlock:
    """A block and its present version, if that is kept; who holds it, in order."""

    block: Block
    present: BlockVersion | None
    holders: list[str]


async def fetch_whole(ask: Ask, vault: Vault, block_id: str) -> WholeBlock | None:
    """The block, its version and its holders at one moment."""
    return _whole(vault, await ask(_WHOLE, block_id))


async def lock_with_holders(exchange: Exchange, vault: Vault, block_id: str) -> WholeBlock | None:
    """Lock the agents that hold a block, then the block, as everyone locks.

    Raises:
        HoldersChangedError: an agent got it before it was locked.
    """
    before, _, rows = await exchange.ask(
        *((wanted, (block_id,)) for wanted in (_LOCK_HOLDERS, _LOCK, _WHOLE))
    )
    locked = _whole(vault, rows)
    if locked is not None and not set(locked.holders) <= set(before):
        raise HoldersChangedError
    return locked


def _whole(vault: Vault, rows: Sequence[dict[str, Any]]) -> WholeBlock | None:
    if not rows:
        return None
    present = block_history.opened(vault, rows[0]["present"])
    return WholeBlock(detached(vault, rows[0]["block"]), present, rows[0]["holders"])


async def holder_of_other(ask: Ask, block_id: str, label: str) -> str | None:
    """An agent that holds the block, and another one under this label."""
    found = await ask(_HOLDER_OF_OTHER, block_id, label)
    return found[0] if found else None


def relabelling(block_id: str, label: str) -> Wanted:
    """Lets all who hold the block hold it under this label."""
    return _RELABEL, (block_id, label)


def edit(former: WholeBlock, versions: str, columns: dict[str, Any]) -> Wanted:
    """Sets columns of a locked block, raises the version of all contexts it is in, answers with it.

    It does nothing, and answers with nothing, if the block or who holds it has changed.

    Args:
        former: the block as it is; its holders are locked, too.
        versions: what its history keeps (`block_history.edited`).
        columns: values by column, sealed.
    """
    values: list[Value] = [former.block.id, versions, former.block.version, former.holders]
    settings = ["version = r.version + 1", "updated_at = now()"]
    for column, value in columns.items():
        kind = _KINDS.get(column, "")
        values.append(msgspec.json.encode(value).decode() if kind == "::jsonb" else value)
        settings.append(f"{column} = ${len(values)}{kind}")
    # What there is nothing of is left out: PostgreSQL would begin and end a part for nothing.
    parts, told = [block_history.KEEP], ""
    if block_history.forgets(former.block.version):
        parts.append(block_history.FORGET)
    if former.holders:
        parts.append(_TOLD_HOLDERS)
        told = f", {_TOLD}"
    query = _EDIT.format(settings=", ".join(settings), parts=",".join(parts), told=told)
    return statement(query), values


def deletion(block_id: str, holders: Sequence[str]) -> Wanted:
    """Deletes a locked block, and with it its attachments."""
    return _DELETE, (block_id, holders)


async def list_blocks(ask: Ask, vault: Vault, wanted: BlockFilter, page: Page) -> list[Block]:
    """A page of the blocks that pass the filter."""

    async def whole(part: Page) -> list[Block]:
        rows = await _filtered(wanted).page(ask, _KEYS, part)
        return [detached(vault, row) for row in rows]

    if not wanted.value_search:
        return await whole(page)
    has = contains(wanted.value_search)
    return await scan(whole, page, lambda block: has(block.value))


async def list_blocks_of(ask: Ask, vault: Vault, agent_id: str, page: Page) -> list[Block]:
    """A page of one agent's blocks."""
    held = "r.id IN (SELECT block_id FROM agent_blocks WHERE agent_id = {})"
    rows = await Selection("blocks").where(held, agent_id).page(ask, _KEYS, page)
    return [detached(vault, row) for row in rows]


def _filtered(wanted: BlockFilter) -> Selection:
    blocks = Selection("blocks")
    if wanted.label is not None:
        blocks.where("r.label = {}", wanted.label)
    for column, part in (
        ("label", wanted.label_search),
        ("description", wanted.description_search),
    ):
        if part:
            blocks.where(f"strpos(lower(r.{column}), lower({{}})) > 0", part)
    if wanted.tags:
        holds = "@>" if wanted.match_all_tags else "&&"
        blocks.where(f"r.tags {holds} {{}}::text[]", wanted.tags)
    if wanted.holders_more_than is not None:
        blocks.where(f"{_HOLDERS} > {{}}", wanted.holders_more_than)
    if wanted.holders_less_than is not None:
        blocks.where(f"{_HOLDERS} < {{}}", wanted.holders_less_than)
    if wanted.holders_exactly:
        blocks.where(f"{_HOLDERS} = ANY ({{}}::bigint[])", [*map(str, wanted.holders_exactly)])
    return blocks
