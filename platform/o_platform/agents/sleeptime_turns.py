"""The SQL of sleep-time companions in the commit of their managers' turns.

Whether a companion has to work is decided, and its run made known, in the very transaction that
writes the turn that is due for it: it happens once for each such turn, or not at all. The
manager's row is locked until then, so its messages come in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import class_row

from o_contracts.messages import Message
from o_platform.agents.background_turns import queue_background, tell_runs
from o_platform.agents.transcripts import transcript
from o_platform.agents.turns import opened_messages
from o_platform.db.sealing import Vault

CLIENT: Final = "sleeptime"
"""For whom the companions' turns run, as their runs say."""
MOST_MESSAGES: Final = 400
"""Messages that a companion is handed at once; of more, the newest."""
_INSTRUCTION: Final = """\
It is {now}. This was said since you last looked. Update the memory blocks where it matters.

{said}"""


@dataclass(slots=True)
class Begun:
    """Runs that were made known, by manager; and agents that got a block by it."""

    run_ids: dict[str, str] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)


class _Counted(NamedTuple):
    """A group after one more turn."""

    id: str
    manager_id: str
    companion_id: str
    turns: int
    frequency: int
    last_seq: int
    retry_seq: int
    last_run_failed: bool


_COUNT = """
UPDATE groups SET turns = turns + 1 WHERE id = ANY(%s)
RETURNING id, manager_id, companion_id, turns, frequency, last_seq, retry_seq,
  EXISTS (SELECT FROM runs WHERE runs.id = last_run_id AND status = 'failed') AS last_run_failed
"""

_SHARE = """
INSERT INTO agent_blocks (agent_id, label, block_id, position)
SELECT %(companion)s, label, block_id, position FROM agent_blocks
WHERE agent_id = %(manager)s AND block_id NOT IN (
  SELECT block_id FROM agent_blocks WHERE agent_id = %(companion)s)
ON CONFLICT DO NOTHING
"""

_TOUCH = "UPDATE agents SET version = version + 1 WHERE id = %s"

_SAID = """
SELECT seq, conversation_id, id, body FROM messages
WHERE agent_id = %s AND seq > %s ORDER BY seq DESC LIMIT %s
"""

_HANDED = """
UPDATE groups SET last_run_id = %s, retry_seq = %s, last_seq = %s, last_message_id = %s
WHERE id = %s
"""


async def count_turns(connection: AsyncConnection, vault: Vault, group_ids: Sequence[str]) -> Begun:
    """Count a turn of each group's manager, written just now; begin the runs that are due."""
    begun = Begun()
    async with connection.cursor(row_factory=class_row(_Counted)) as cursor:
        await cursor.execute(_COUNT, (list(group_ids),))
        due = [group for group in await cursor.fetchall() if group.turns % group.frequency == 0]
    for group in due:
        run_id = await _begin(connection, vault, group)
        if run_id is not None:
            begun.run_ids[group.manager_id] = run_id
            if await _share(connection, group):
                begun.changed.add(group.companion_id)
    if begun.run_ids:
        await tell_runs(connection, list(begun.run_ids.values()))
    return begun


async def _begin(connection: AsyncConnection, vault: Vault, group: _Counted) -> str | None:
    """The run in which the companion is handed what was said since; None if nothing was."""
    since = group.retry_seq if group.last_run_failed else group.last_seq
    cursor = await connection.execute(_SAID, (group.manager_id, since, MOST_MESSAGES))
    rows = (await cursor.fetchall())[::-1]
    if not rows:
        return None
    messages = opened_messages(vault, [(id_, _body(body)) for _, _, id_, body in rows])
    said = transcript([(row[1], message) for row, message in zip(rows, messages, strict=True)])
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    content = _INSTRUCTION.format(now=now, said=said)
    turn = {"messages": [{"role": "user", "content": content}]}
    run_id = await queue_background(connection, vault, group.companion_id, turn, CLIENT)
    await connection.execute(_HANDED, (run_id, since, rows[-1][0], rows[-1][2], group.id))
    return run_id


def _body(stored: Any) -> Message | str:
    return stored if isinstance(stored, str) else msgspec.convert(stored, Message)


async def _share(connection: AsyncConnection, group: _Counted) -> bool:
    """Give the companion blocks that turns of its manager made; whether there were any."""
    values = {"companion": group.companion_id, "manager": group.manager_id}
    cursor = await connection.execute(_SHARE, values)
    if not cursor.rowcount:
        return False
    await connection.execute(_TOUCH, (group.companion_id,))
    return True
