"""Search of an agent's history by text, for the tool `conversation_search`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from psycopg import AsyncConnection

from o_contracts.messages import Message

TYPES_BY_ROLE: Final = {
    "user": "user_message",
    "assistant": "assistant_message",
    "tool": "tool_return_message",
}


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages; an empty `text` or `roles` does not restrict, nor does an absent date."""

    agent_id: str
    text: str
    roles: Sequence[str]
    limit: int
    since: datetime | None = None
    until: datetime | None = None


_SEARCH = """
SELECT body::text FROM messages
WHERE agent_id = %(agent_id)s AND type = ANY(%(types)s)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
  AND ((body -> 'content')::text ILIKE %(pattern)s
    OR (body #> '{tool_return,tool_return}')::text ILIKE %(pattern)s)
ORDER BY seq DESC LIMIT %(limit)s
"""

_decoder = msgspec.json.Decoder(Message)


async def search_messages(connection: AsyncConnection, query: MessageQuery) -> list[Message]:
    """Messages that hold the query's text (upper and lower case alike), newest first."""
    values = {
        "agent_id": query.agent_id,
        "types": [TYPES_BY_ROLE[role] for role in query.roles or TYPES_BY_ROLE],
        "since": query.since,
        "until": query.until,
        "pattern": f"%{_literal(query.text)}%",
        "limit": query.limit,
    }
    cursor = await connection.execute(_SEARCH, values)
    return [_decoder.decode(row[0]) async for row in cursor]


def _literal(text: str) -> str:
    """The text as a LIKE pattern that matches itself inside of JSON."""
    inside_json = msgspec.json.encode(text).decode()[1:-1]
    return inside_json.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
