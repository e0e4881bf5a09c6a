"""The SQL of memory edits that take effect with the commit of their turns.

Everything that a batch will change is locked first and in order of ids (agents, then blocks), so
that nobody deadlocks (`unit`); then the blocks are read as they are now, and written with the next
version. An agent that shares a block with the one that edited it gets a new version too, because
its context changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from psycopg import AsyncConnection

from o_contracts.messages import Block
from o_platform.agents.block_history import KEPT_VERSIONS
from o_platform.agents.turns import opened_blocks
from o_platform.agents.unit import HoldersChangedError
from o_platform.db.sealed_columns import BLOCK_VALUE, VERSION_VALUE
from o_platform.db.sealing import Vault


class BlockValue(NamedTuple):
    """The next text of a block, and what its history says of it: whose turn wrote it, by what."""

    block_id: str
    agent_id: str
    value: str
    version: int
    before: str
    why: str
    run_id: str


class LockedBlock(NamedTuple):
    """A block as it is now, and the agents that have it."""

    block: Block
    agent_ids: frozenset[str]


_LOCK_AGENTS = """
SELECT id FROM agents
WHERE id = ANY(%(agents)s)
   OR id IN (SELECT agent_id FROM agent_blocks WHERE block_id = ANY(%(blocks)s))
ORDER BY id FOR NO KEY UPDATE
"""

_LOCK_BLOCKS = """
SELECT id, label, value, char_limit, description, read_only, version
FROM blocks WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""

# On its own: a statement that had to wait for its locks sees other tables as of before.
_HOLDERS = "SELECT block_id, agent_id FROM agent_blocks WHERE block_id = ANY(%s)"

_WRITE_BLOCKS = """
UPDATE blocks SET value = new.value, version = version + new.edits, updated_at = now()
FROM unnest(%s::text[], %s::text[], %s::int[]) AS new(id, value, edits) WHERE blocks.id = new.id
"""

_KEEP_FORMER = """
INSERT INTO block_versions (block_id, version, value, created_at)
SELECT blocks.id, new.version, new.value, blocks.updated_at
FROM unnest(%s::text[], %s::bigint[], %s::text[]) AS new(id, version, value)
JOIN blocks ON blocks.id = new.id
ON CONFLICT DO NOTHING
"""

_KEEP_HISTORY = """
INSERT INTO block_versions (block_id, version, value, who, why, run_id)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
"""

_FORGET_OLD = """
DELETE FROM block_versions USING unnest(%s::text[], %s::bigint[]) AS new(id, version)
WHERE block_id = new.id AND block_versions.version <= new.version - %s
"""

_TOUCH_SHARING = """
UPDATE agents SET version = version + 1 WHERE id IN (
  SELECT ab.agent_id FROM agent_blocks ab
  JOIN unnest(%s::text[], %s::text[]) AS new(block_id, agent_id) ON new.block_id = ab.block_id
  WHERE ab.agent_id <> new.agent_id)
RETURNING id
"""


class Locked(NamedTuple):
    """What is locked: ids of agents, and blocks by id, without those that are gone."""

    agents: frozenset[str]
    blocks: dict[str, LockedBlock]


async def lock(
    connection: AsyncConnection, vault: Vault, agent_ids: Sequence[str], block_ids: Sequence[str]
) -> Locked:
    """Lock these agents and blocks, and all agents that share one of the blocks.

    Raises:
        HoldersChangedError: an agent got one before it was locked; end the transaction, try again.
    """
    names = {"agents": list(agent_ids), "blocks": list(block_ids)}
    cursor = await connection.execute(_LOCK_AGENTS, names)
    agents = frozenset([row[0] async for row in cursor])
    if not block_ids:
        return Locked(agents, {})
    cursor = await connection.execute(_LOCK_BLOCKS, (list(block_ids),))
    blocks = opened_blocks(vault, [Block(*row) async for row in cursor])
    holders: dict[str, set[str]] = {block.id: set() for block in blocks}
    cursor = await connection.execute(_HOLDERS, (list(holders),))
    async for block_id, agent_id in cursor:
        holders[block_id].add(agent_id)
    if not all(held <= agents for held in holders.values()):
        raise HoldersChangedError
    held = {block.id: LockedBlock(block, frozenset(holders[block.id])) for block in blocks}
    return Locked(agents, held)


async def requests_with_run(
    connection: AsyncConnection, requests: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of the requests (agent id, request key) that have a run already.

    Certain until the end of the transaction, if the agents are locked.
    """
    cursor = await connection.execute(
        "SELECT agent_id, request_key FROM runs JOIN unnest(%s::text[], %s::text[]) "
        "AS asked(agent_id, request_key) USING (agent_id, request_key)",
        ([agent_id for agent_id, _ in requests], [key for _, key in requests]),
    )
    return {(row[0], row[1]) async for row in cursor}


async def write_blocks(
    connection: AsyncConnection, vault: Vault, values: Sequence[BlockValue]
) -> set[str]:
    """Write the blocks' next texts, in order; a block's version grows by one for each.

    Each becomes a version of the block's history, which begins with the text that was there before.

    Returns:
        The ids of other agents whose context changed, because they share a block.
    """
    await _keep_history(connection, vault, values)
    last = {
        value.block_id: BLOCK_VALUE.sealed(vault, value.value, value.block_id) for value in values
    }
    edits = Counter(value.block_id for value in values)
    columns = (list(last), list(last.values()), [edits[block_id] for block_id in last])
    await connection.execute(_WRITE_BLOCKS, columns)
    pairs = ([v.block_id for v in values], [v.agent_id for v in values])
    cursor = await connection.execute(_TOUCH_SHARING, pairs)
    return {row[0] async for row in cursor}


async def _keep_history(
    connection: AsyncConnection, vault: Vault, values: Sequence[BlockValue]
) -> None:
    ids = [value.block_id for value in values]
    versions = [value.version for value in values]
    before = [_version(vault, value, value.version - 1, value.before) for value in values]
    after = [_version(vault, value, value.version, value.value) for value in values]
    former = [version - 1 for version in versions]
    await connection.execute(_KEEP_FORMER, (ids, former, before))
    made = [(value.agent_id, value.why, value.run_id) for value in values]
    columns = map(list, zip(*made, strict=True))
    await connection.execute(_KEEP_HISTORY, (ids, versions, after, *columns))
    await connection.execute(_FORGET_OLD, (ids, versions, KEPT_VERSIONS))


def _version(vault: Vault, value: BlockValue, version: int, text: str) -> str:
    return VERSION_VALUE.sealed(vault, text, value.block_id, version)
