"""The SQL of what agents have open and look for in documents; plain psycopg, for turns.

Documents are sealed at rest, so PostgreSQL cuts nothing out of them. It still matches lines for
`grep`, whose patterns come from models: its regular expressions can be stopped. The lines reach it
as parameters, a few at a time, and are nowhere kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from psycopg import AsyncConnection

from o_platform.agents.document_blocks import LISTED_FILES, MAX_OPEN, WINDOW_CHARS, Document
from o_platform.db.sealed_columns import FILE_CONTENT
from o_platform.db.sealing import Vault

GREP_LIMIT_S: Final = 5.0
MATCHED_LINES: Final = 500
MATCHED_CHARS: Final = 200_000
"""Lines that are matched at once, and characters of them (a longer line goes alone)."""
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_EDGES: Final = {r"\b": r"\y", r"\B": r"\Y"}
SQL_WINDOW: Final = (
    f"coalesce((a.config ->> 'per_file_view_window_char_limit')::int, {WINDOW_CHARS})"
)
SQL_FOLDERS: Final = f"""
  'folders', (
    SELECT json_agg(json_build_object(
      'id', f.id, 'name', f.name, 'description', f.description, 'instructions', f.instructions,
      'window_chars', {SQL_WINDOW},
      'file_count', (SELECT count(*) FROM files WHERE folder_id = f.id AND lines > 0),
      'files', (
        SELECT coalesce(json_agg(json_build_object(
          'id', d.id, 'name', d.name, 'lines', d.lines, 'is_open', d.is_open,
          'first_line', d.first_line, 'last_line', d.last_line,
          'text', CASE WHEN d.is_open THEN d.content END
        ) ORDER BY d.opened_at, d.name), '[]')
        FROM (
          SELECT files.*, o.file_id IS NOT NULL AS is_open, coalesce(o.first_line, 0) AS first_line,
            o.last_line, o.opened_at
          FROM files LEFT JOIN open_files o ON o.file_id = files.id AND o.agent_id = a.id
          WHERE files.folder_id = f.id AND files.lines > 0
          ORDER BY is_open DESC, files.name LIMIT {LISTED_FILES}) d)
    ) ORDER BY f.name)
    FROM agent_folders af JOIN folders f ON f.id = af.folder_id WHERE af.agent_id = a.id),
"""  # noqa: S608 — made of constants
"""The folders that an agent `a` reads, in an object's constructor; null if there are none.

The text of an open document is all of it, as it is stored: see `opened_window`.
"""

_FIND = f"""
SELECT f.name, d.id, d.name, d.lines, d.content, {SQL_WINDOW},
  coalesce((a.config ->> 'max_files_open')::int, {MAX_OPEN})
FROM agents a
JOIN agent_folders af ON af.agent_id = a.id
JOIN folders f ON f.id = af.folder_id
JOIN files d ON d.folder_id = f.id
WHERE a.id = %(agent_id)s AND d.lines > 0
  AND (f.name || '/' || d.name = %(path)s OR d.name = %(path)s)
ORDER BY f.name || '/' || d.name = %(path)s DESC, f.name LIMIT 1
"""  # noqa: S608 — made of constants

_READABLE = """
SELECT d.id, f.name || '/' || d.name AS path
FROM agent_folders af
JOIN folders f ON f.id = af.folder_id
JOIN files d ON d.folder_id = f.id
WHERE af.agent_id = %(agent_id)s AND d.content IS NOT NULL
  AND (%(include)s = '' OR f.name || '/' || d.name ~ %(include)s)
ORDER BY path
"""

_MATCH = """
SELECT number FROM (SELECT %(lines)s::text[] AS lines) AS given,
  generate_series(1, cardinality(given.lines)) AS number
WHERE given.lines[number] ~* %(pattern)s ORDER BY number
"""

_OPEN = """
INSERT INTO open_files (agent_id, file_id, first_line, last_line, opened_at)
SELECT %s, d.id, %s, %s, clock_timestamp() FROM files d WHERE d.id = %s
ON CONFLICT (agent_id, file_id) DO UPDATE SET
  first_line = excluded.first_line, last_line = excluded.last_line, opened_at = excluded.opened_at
"""


class Window(NamedTuple):
    """Which lines of a document are open; 0-based, the last one exclusive or as many as fit."""

    first_line: int = 0
    last_line: int | None = None


class FoundDocument(NamedTuple):
    """A document with the lines asked for, and what its agent may see at once."""

    folder_name: str
    document: Document
    window_chars: int
    max_open: int


class GrepHit(NamedTuple):
    """A line that matches, and those around it; `line` counts from 1."""

    path: str
    line: int
    lines: list[str]


def opened_window(vault: Vault, document: Document, chars: int) -> Document:
    """A document with the lines it is open at instead of all of its text as it is stored.

    They end one character after `chars` at the latest.
    """
    text = FILE_CONTENT.opened(vault, document.text or "", document.id)
    return msgspec.structs.replace(
        document, text=_lines(text, document.first_line, document.last_line, chars)
    )


async def find_document(
    connection: AsyncConnection, vault: Vault, agent_id: str, path: str, window: Window
) -> FoundDocument | None:
    """The agent's document of this path, or of this name in one of its folders."""
    values = {"agent_id": agent_id, "path": path}
    row = await (await connection.execute(_FIND, values)).fetchone()
    if row is None:
        return None
    folder_name, file_id, name, lines, stored, chars, max_open = row
    document = Document(file_id, name, lines, True, *window, stored)
    return FoundDocument(folder_name, opened_window(vault, document, chars), chars, max_open)


async def grep(
    connection: AsyncConnection,
    vault: Vault,
    agent_id: str,
    pattern: str,
    *,
    include: str,
    around: int,
    limit: int,
    offset: int,
) -> list[GrepHit]:
    """Lines of the agent's documents that match, in the order of paths and lines.

    Raises:
        psycopg.errors.InvalidRegularExpression: `pattern` or `include` is none.
        psycopg.errors.QueryCanceled, TimeoutError: it took longer than `GREP_LIMIT_S`.
    """
    hits: list[GrepHit] = []
    passed = 0
    async with asyncio.timeout(GREP_LIMIT_S), connection.transaction():
        await connection.execute(f"SET LOCAL statement_timeout = {GREP_LIMIT_S * 1000:.0f}")
        await connection.execute("SELECT '' ~* %s", (_as_sql(pattern),))
        values = {"agent_id": agent_id, "include": _as_sql(include)}
        documents = await (await connection.execute(_READABLE, values)).fetchall()
        for file_id, path in documents:
            lines = await _lines_of(connection, vault, file_id)
            for first, batch in _batches(lines):
                for number in await _matching(connection, batch, _as_sql(pattern)):
                    passed += 1
                    if passed > offset:
                        at = first + number
                        near = lines[max(at - around, 0) : at + around + 1]
                        hits.append(GrepHit(path, at + 1, near))
                    if len(hits) == limit:
                        return hits
    return hits


async def _lines_of(connection: AsyncConnection, vault: Vault, file_id: str) -> list[str]:
    query = "SELECT content FROM files WHERE id = %s"
    row = await (await connection.execute(query, (file_id,))).fetchone()
    if row is None or row[0] is None:
        return []
    text = await asyncio.to_thread(FILE_CONTENT.opened, vault, row[0], file_id)
    return str(text).split("\n")


async def _matching(connection: AsyncConnection, lines: Sequence[str], pattern: str) -> list[int]:
    """The numbers (from 0) of the lines that match."""
    values = {"lines": list(lines), "pattern": pattern}
    return [row[0] - 1 async for row in await connection.execute(_MATCH, values)]


def _batches(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Parts of the lines, each with the number of its first one."""
    first, batch, chars = 0, list[str](), 0
    for number, line in enumerate(lines):
        if batch and (len(batch) == MATCHED_LINES or chars + len(line) > MATCHED_CHARS):
            yield first, batch
            first, batch, chars = number, [], 0
        batch.append(line)
        chars += len(line)
    yield first, batch


def _lines(text: str, first: int, last: int | None, chars: int) -> str:
    start = 0
    for _ in range(first):
        start = text.find("\n", start) + 1
        if start == 0:
            return ""
    shown = text[start : start + chars + 1]
    return shown if last is None else "\n".join(shown.split("\n")[: last - first])


def _as_sql(pattern: str) -> str:
    """A regular expression as PostgreSQL writes it: it calls the edges of words differently."""
    return _ESCAPED.sub(lambda match: _EDGES.get(match[0], match[0]), pattern)


async def write_windows(
    connection: AsyncConnection, agent_id: str, windows: Mapping[str, Window | None]
) -> None:
    """Open these documents by id, or close those with None."""
    closed = [file_id for file_id, window in windows.items() if window is None]
    if closed:
        gone = "DELETE FROM open_files WHERE agent_id = %s AND file_id = ANY(%s)"
        await connection.execute(gone, (agent_id, closed))
    for file_id, window in windows.items():
        if window is not None:
            values = (agent_id, window.first_line, window.last_line, file_id)
            await connection.execute(_OPEN, values)
