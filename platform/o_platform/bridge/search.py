"""What the search tools read of the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from o_contracts.messages import Message
from o_platform.agents.recall import RecallQuery, query_vector, recall
from o_platform.bridge.records import Remembered
from o_platform.db.engine import Database
from o_platform.memory.archives import archives_of
from o_platform.memory.embedders import Embedders
from o_platform.memory.search import PassageQuery, query_models, search_archives
from o_platform.spans import just_after, last_moment
from o_tools.errors import ToolError
from o_tools.queries import ArchivalMemorySearch, ConversationSearch

TYPES_BY_ROLE: Final = {
    "user": "user_message",
    "assistant": "assistant_message",
    "tool": "tool_return_message",
}


class Search:
    """Searches agents' histories and archival memories."""

    def __init__(self, database: Database, embedders: Embedders, message_model: str) -> None:
        """`embedders` are the models of archives; `message_model` is the one of messages."""
        self._database = database
        self._embedders = embedders
        self._message_model = message_model

    async def messages(
        self, agent_id: str, query: ConversationSearch, *, before: datetime | None = None
    ) -> list[Message]:
        """Messages of the agent that fit best, best first; for a blank query the newest.

        Raises:
            ToolError: a date that is none.
            DatabaseUnavailableError: it cannot be read now.
            OError: the embedding model cannot be reached.
        """
        wanted = RecallQuery(
            query.query,
            query.limit,
            agent_id,
            types=[TYPES_BY_ROLE[role] for role in query.roles or TYPES_BY_ROLE],
            since=_date(query.start_date),
            until=_earlier(just_after(_end(query.end_date)), before),
        )
        vector = await query_vector(self._embedders, self._message_model, wanted)
        vault = self._database.vault
        async with self._database.exchange() as exchange:
            found = await recall(exchange, vault, wanted, self._message_model, vector)
        return [msgspec.convert(hit.row.body, Message) for hit in found]

    async def archive(self, agent_id: str, query: ArchivalMemorySearch) -> list[Remembered]:
        """Texts of the agent's archival memory, nearest in meaning first.

        Raises:
            ToolError: a date that is none.
            DatabaseUnavailableError: it cannot be read now.
            OError: an embedding model cannot be reached.
        """
        wanted = PassageQuery(
            query.query,
            query.tags,
            query.top_k,
            query.tag_match_mode,
            _date(query.start_datetime),
            _end(query.end_datetime),
        )
        async with self._database.reading() as session:
            held = await archives_of(session, agent_id)
        handles = [archive.embedding for archive in held]
        models = await query_models(self._embedders, handles, wanted)
        ids, vault = [archive.id for archive in held], self._database.vault
        async with self._database.exchange() as exchange:
            hits = await search_archives(exchange, vault, ids, models, wanted)
        found = [hit.passage for hit in hits]
        return [Remembered(passage.text, passage.tags, passage.created_at) for passage in found]


def _date(text: str) -> datetime | None:
    if not text:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise ToolError(f"{text!r} is not a date in ISO 8601, such as 2026-01-31") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _end(text: str) -> datetime | None:
    """The last moment that a text names: a day's, for a day without a time of day."""
    return _date(text) and _date(last_moment(text))


def _earlier(first: datetime | None, second: datetime | None) -> datetime | None:
    dates = [date for date in (first, second) if date is not None]
    return min(dates, default=None)
