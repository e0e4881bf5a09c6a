"""What the database says of a demo: turns by variant and second, and turns that ran twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg

from o_benchmarks.demo.plot import ShareSeries


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads the platform's database at `url`."""

    url: str

    def duplicated_turns(self) -> int:
        """How many client texts were stored more than once (each was sent once)."""
        return self._number(
            "SELECT count(*) FROM (SELECT 1 FROM messages WHERE type = 'user_message'"
            " AND body->>'content' LIKE 'turn %' GROUP BY body->>'content' HAVING count(*) > 1) d"
        )

    def committed_turns(self) -> int:
        """How many of the client's turns are durable."""
        return self._number(
            "SELECT count(*) FROM messages WHERE type = 'user_message'"
            " AND body->>'content' LIKE 'turn %'"
        )

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
        query = "SELECT body->>'content' FROM messages WHERE type = 'assistant_message'"
        with psycopg.connect(self.url) as connection:
            return [str(row[0]) for row in connection.execute(query).fetchall()]

    def passages(self) -> list[dict[str, Any]]:
        """The lineage's memory of its attempts, oldest first."""
        query = (
            "SELECT p.text, p.tags FROM passages p"
            " JOIN archives a ON a.id = p.archive_id"
            " JOIN lineages l ON l.memory_agent_id = a.owner_id ORDER BY p.created_at"
        )
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(query).fetchall()
        return [{"text": text, "tags": tags} for text, tags in rows]

    def _number(self, query: LiteralString) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0
