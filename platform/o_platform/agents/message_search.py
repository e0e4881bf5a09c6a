"""Search of an agent's history by text, for the tool `conversation_search`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from o_contracts.messages import Message
from o_platform.agents.turns import opened_messages
from o_platform.db.scan import contains
from o_platform.db.sealing import Vault

TYPES_BY_ROLE: Final = {
    "user": "user_message",
    "assistant": "assistant_message",
    "tool": "tool_return_message",
}
READ_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages; an empty `text` or `roles` does not restrict, nor does an absent date."""

    agent_id: str
    text: str
    roles: Sequence[str]
    limit: int
    since: datetime | None = None
    until: datetime | None = None


_READ = """
SELECT seq, id, body FROM messages
WHERE agent_id = %(agent_id)s AND type = ANY(%(types)s)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
  AND (%(before)s::bigint IS NULL OR seq < %(before)s)
ORDER BY seq DESC LIMIT %(limit)s
"""


async def search_messages(
    connection: AsyncConnection, vault: Vault, query: MessageQuery
) -> list[Message]:
    """Messages that hold the query's text (upper and lower case alike), newest first."""
    values: dict[str, Any] = {
        "agent_id": query.agent_id,
        "types": [TYPES_BY_ROLE[role] for role in query.roles or TYPES_BY_ROLE],
        "since": query.since,
        "until": query.until,
        "before": None,
        "limit": READ_AT_ONCE,
    }
    has = contains(query.text)
    found: list[Message] = []
    while True:
        rows = await (await connection.execute(_READ, values)).fetchall()
        messages = opened_messages(vault, ((row[1], row[2]) for row in rows))
        found += [message for message in messages if has(text_of(message))]
        if len(found) >= query.limit or len(rows) < READ_AT_ONCE:
            return found[: query.limit]
        values["before"] = rows[-1][0]


def text_of(message: Message) -> str:
    """What a message says, in plain text."""
    if message.tool_return is not None:
        return message.tool_return.tool_return
    if isinstance(message.content, list):
        return "\n".join(str(part.get("text", "")) for part in message.content)
    return message.content or ""
