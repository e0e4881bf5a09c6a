"""The history of blocks: every version of a block's text, who made it so and why.

Undo makes a new version with an earlier text, so that nothing of the history is lost. Undoing again
goes one version further back: it continues from the version that the last undo restored.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from o_platform.agents.inputs import Author
from o_platform.agents.paging import Page
from o_platform.agents.selection import Selection
from o_platform.db.detached import Detached
from o_platform.db.engine import Ask
from o_platform.db.line import Statement
from o_platform.db.models import Block, BlockVersion
from o_platform.db.sealed_columns import VERSION_VALUE
from o_platform.db.sealing import Vault
from o_platform.errors import ConflictError, NotFoundError

KEPT_VERSIONS: Final = 1000
"""Newest versions that are kept of a block, at least."""
FORGOTTEN_AT_ONCE: Final = 20
"""Older ones that go together, so that not each edit looks for some."""
_LOOK_BACK: Final = 100
"""How many versions an undo reads at once to find a different text."""


KEEP: Final = """
kept AS (
  INSERT INTO block_versions (block_id, version, value, who, why, restores, created_at)
  SELECT v.block_id, v.version, v.value, v.who, v.why, v.restores, coalesce(v.created_at, now())
  FROM block, jsonb_to_recordset($2::jsonb) AS v(
    block_id text, version bigint, value text, who text, why text, restores bigint,
    created_at timestamptz)
  ON CONFLICT (block_id, version) DO NOTHING
)
"""
"""Part of the statement whose part `block` edits a block: the versions `$2` (`edited`) are kept."""
FORGET: Final = f"""
gone AS (
  DELETE FROM block_versions
  WHERE block_id = $1 AND version <= $3::bigint + 1 - {KEPT_VERSIONS} AND EXISTS (SELECT FROM block)
)
"""  # noqa: S608
"""The same: of the block `$1`, which is at the version `$3`, versions that are too old go
(`forgets`)."""
PRESENT: Final = (
    "SELECT row_to_json(v) FROM block_versions v JOIN blocks b "
    "ON b.id = v.block_id AND b.version = v.version WHERE b.id = $1"
)
"""The present version of the block `$1`, which is there if the block was ever edited."""
_NAMED: Final = Statement(
    "SELECT row_to_json(v)::text FROM block_versions v WHERE block_id = $1 AND version = $2"
)
_detached: Final = Detached(BlockVersion)


def forgets(version: int) -> bool:
    """Whether an edit of a block at this version looks for versions that are too old."""
    return version >= KEPT_VERSIONS and version % FORGOTTEN_AT_ONCE == 0


def edited(
    vault: Vault,
    block: Block,
    present: BlockVersion | None,
    value: str,
    author: Author,
    restores: int | None = None,
) -> str:
    """What an edit keeps: the text that the block had, unless it is kept, and the new `value`.

    `block` is as it was before, `present` its version of then (`PRESENT`).
    """
    if restores is None and value == block.value and present is not None:
        restores = present.restores
    versions = [
        {"version": block.version, "value": block.value, "who": "", "why": "",
         "created_at": block.updated_at},
        {"version": block.version + 1, "value": value, "who": author.who, "why": author.why,
         "restores": restores},
    ]  # fmt: skip
    for version in versions[present is not None :]:
        version["block_id"] = block.id
        sealed = VERSION_VALUE.sealed(vault, version["value"], block.id, version["version"])
        version["value"] = sealed
    return msgspec.json.encode(versions[present is not None :]).decode()


def opened(vault: Vault, row: dict[str, Any] | None) -> BlockVersion | None:
    """The version of a row, if there is one."""
    return None if row is None else _detached(vault, row)


async def list_versions(
    ask: Ask, vault: Vault, block_id: str, *, before: int | None, limit: int
) -> list[BlockVersion]:
    """Versions of a block, the newest first; only those below `before`."""
    wanted = Selection("block_versions").where("r.block_id = {}", block_id)
    if before is not None:
        wanted.where("r.version < {}", before)
    rows = await wanted.page(ask, ("r.version",), Page(limit=limit))
    return [_detached(vault, row) for row in rows]


async def named_version(ask: Ask, vault: Vault, block_id: str, version: int) -> BlockVersion:
    """One version of a block.

    Raises:
        NotFoundError: the history does not have it.
    """
    rows = await ask(_NAMED, block_id, version)
    if not rows:
        raise NotFoundError(
            f"the history of {block_id} has no version {version}; "
            f"see `o memory history {block_id}`",
            block_id=block_id,
            version=version,
        )
    return _detached(vault, rows[0])


async def version_before(
    ask: Ask, vault: Vault, block: Block, present: BlockVersion | None
) -> BlockVersion:
    """The version that an undo restores: the last one with another text.

    Raises:
        ConflictError: there is none.
    """
    before = block.version if present is None else present.restores or block.version
    while True:
        rows = await list_versions(ask, vault, block.id, before=before, limit=_LOOK_BACK)
        for row in rows:
            if row.value != block.value:
                return row
        if not rows:
            raise ConflictError(f"{block.id} has no earlier text to go back to", block_id=block.id)
        before = rows[-1].version
