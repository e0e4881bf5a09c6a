"""The SQL of turns that make, remove or rename memory blocks.

For use in the transaction of `turn_edits`, with the agents and blocks concerned locked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection

from o_contracts.messages import Block
from o_platform.db.sealed_columns import BLOCK_VALUE, VERSION_VALUE
from o_platform.db.sealing import Vault


@dataclass(frozen=True, slots=True)
class Reshaping:
    """How a turn changes which blocks its agent has; ids of blocks it removed, labels by id."""

    agent_id: str
    run_id: str
    created: Sequence[Block]
    removed: Collection[str]
    renamed: Mapping[str, str]

    @property
    def labels(self) -> list[str]:
        """Labels that must be free, or become so."""
        return [block.label for block in self.created] + list(self.renamed.values())


_TAKEN = """
SELECT label FROM agent_blocks
WHERE label = ANY(%(labels)s) AND (
    agent_id = %(agent_id)s AND NOT block_id = ANY(%(gone)s)
    OR agent_id <> %(agent_id)s AND agent_id IN (
      SELECT agent_id FROM agent_blocks WHERE block_id = ANY(%(renamed)s)))
LIMIT 1
"""

_RENAME_HELD = """
UPDATE agent_blocks SET label = new.label FROM unnest(%s::text[], %s::text[]) AS new(id, label)
WHERE block_id = new.id
"""

_RENAME = """
UPDATE blocks SET label = new.label, updated_at = now()
FROM unnest(%s::text[], %s::text[]) AS new(id, label) WHERE blocks.id = new.id
"""

_TOUCH_HOLDERS = """
UPDATE agents SET version = version + 1 WHERE id <> %s AND id IN (
  SELECT agent_id FROM agent_blocks WHERE block_id = ANY(%s))
RETURNING id
"""

_REMOVE = "DELETE FROM agent_blocks WHERE agent_id = %s AND block_id = ANY(%s)"

_CREATE = """
INSERT INTO blocks (id, label, value, char_limit, description, read_only, metadata, tags)
VALUES (%s, %s, %s, %s, %s, false, '{}', '{}')
"""

_ATTACH = """
INSERT INTO agent_blocks (agent_id, label, block_id, position)
SELECT %s, %s, %s, coalesce(max(position) + 1, 0) FROM agent_blocks WHERE agent_id = %s
"""

_BEGIN_HISTORY = """
INSERT INTO block_versions (block_id, version, value, who, why, run_id)
VALUES (%s, 1, %s, %s, 'memory', %s)
"""


async def taken_label(connection: AsyncConnection, shape: Reshaping) -> str | None:
    """A label that the turn needs and another block has meanwhile, at its agent or a sharing one.

    The turn's own renames and removals make room.
    """
    values = {
        "labels": shape.labels,
        "agent_id": shape.agent_id,
        "gone": [*shape.removed, *shape.renamed],
        "renamed": list(shape.renamed),
    }
    row = await (await connection.execute(_TAKEN, values)).fetchone()
    return row[0] if row else None


async def reshape(connection: AsyncConnection, vault: Vault, shape: Reshaping) -> set[str]:
    """Make the change; its labels are free (`taken_label`).

    Returns:
        The ids of other agents whose context changed, because they share a renamed block.
    """
    await connection.execute(_REMOVE, (shape.agent_id, list(shape.removed)))
    sharing: set[str] = set()
    if shape.renamed:
        names = (list(shape.renamed), list(shape.renamed.values()))
        # By way of names that nobody has: two blocks may have swapped theirs.
        await connection.execute(_RENAME_HELD, (names[0], names[0]))
        await connection.execute(_RENAME_HELD, names)
        await connection.execute(_RENAME, names)
        cursor = await connection.execute(_TOUCH_HOLDERS, (shape.agent_id, names[0]))
        sharing = {row[0] async for row in cursor}
    for block in shape.created:
        await _create(connection, vault, shape, block)
    return sharing


async def _create(
    connection: AsyncConnection, vault: Vault, shape: Reshaping, block: Block
) -> None:
    value = BLOCK_VALUE.sealed(vault, block.value, block.id)
    row = (block.id, block.label, value, block.limit, block.description)
    await connection.execute(_CREATE, row)
    place = (shape.agent_id, block.label, block.id, shape.agent_id)
    await connection.execute(_ATTACH, place)
    first = VERSION_VALUE.sealed(vault, block.value, block.id, 1)
    begin = (block.id, first, shape.agent_id, shape.run_id)
    await connection.execute(_BEGIN_HISTORY, begin)
