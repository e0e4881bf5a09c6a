"""What the database says of a demo: turns by variant and second, and turns that ran twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from o_benchmarks.demo.plot import ShareSeries
from o_platform.db.sealed_columns import MESSAGE_BODY, PASSAGE_TEXT
from o_platform.db.sealing import Vault


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads the platform's database at `url`, whose values `vault` opens."""

    url: str
    vault: Vault

    def duplicated_turns(self) -> int:
        """How many client texts were stored more than once (each was sent once)."""
        return sum(count > 1 for count in Counter(self._said()).values())

    def committed_turns(self) -> int:
        """How many of the client's turns are durable."""
        return len(self._said())

    def shares(self, since: datetime) -> ShareSeries:
        """Committed turns per second and variant since a moment, most used variant first."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                "SELECT floor(extract(epoch FROM created_at - %s))::int AS second, variant,"
                " count(*) FROM runs WHERE created_at >= %s GROUP BY 1, 2 ORDER BY 1",
                (since, since),
            ).fetchall()
        if not rows:
            return ShareSeries([], {})
        length = rows[-1][0] + 1
        turns: dict[str, list[int]] = {}
        for second, variant, count in rows:
            turns.setdefault(variant, [0] * length)[second] += count
        return ShareSeries([float(second) for second in range(length)], turns)

    def replies(self) -> list[str]:
        """Every answer that is durable, as text."""
        return self._contents("assistant_message")

    def passages(self) -> list[dict[str, Any]]:
        """The lineage's memory of its attempts, oldest first."""
        query = (
            "SELECT p.id, p.text, p.tags FROM passages p"
            " JOIN archives a ON a.id = p.archive_id"
            " JOIN lineages l ON l.memory_agent_id = a.owner_id ORDER BY p.created_at"
        )
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(query).fetchall()
        return [
            {"text": PASSAGE_TEXT.opened(self.vault, text, passage_id), "tags": tags}
            for passage_id, text, tags in rows
        ]

    def _said(self) -> list[str]:
        return [text for text in self._contents("user_message") if text.startswith("turn ")]

    def _contents(self, kind: str) -> list[str]:
        query = "SELECT id, body FROM messages WHERE type = %s"
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(query, (kind,)).fetchall()
        bodies = (MESSAGE_BODY.opened(self.vault, body, message_id) for message_id, body in rows)
        return [str(body["content"]) for body in bodies]
