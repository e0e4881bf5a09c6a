"""The SQL of what agents have open and look for in documents; plain psycopg, for turns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from psycopg import AsyncConnection

from o_platform.agents.document_blocks import LISTED_FILES, MAX_OPEN, WINDOW_CHARS, Document

GREP_TIMEOUT_MS: Final = 5_000
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_EDGES: Final = {r"\b": r"\y", r"\B": r"\Y"}
SQL_WINDOW: Final = (
    f"coalesce((a.config ->> 'per_file_view_window_char_limit')::int, {WINDOW_CHARS})"
)
_LINES = """left(array_to_string(
        (string_to_array({text}, E'\\n'))[{first} + 1 : coalesce({last}, {first} + {chars} + 1)],
        E'\\n'), {chars} + 1)"""

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
          'text', CASE WHEN d.is_open THEN
            {
    _LINES.format(text="d.content", first="d.first_line", last="d.last_line", chars=SQL_WINDOW)
} END
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
"""The folders that an agent `a` reads, in an object's constructor; null if there are none."""

_FIND = f"""
SELECT f.name, d.id, d.name, d.lines, true, %(first)s::int, %(last)s::int,
  {_LINES.format(text="d.content", first="%(first)s::int", last="%(last)s::int", chars=SQL_WINDOW)},
  {SQL_WINDOW}, coalesce((a.config ->> 'max_files_open')::int, {MAX_OPEN})
FROM agents a
JOIN agent_folders af ON af.agent_id = a.id
JOIN folders f ON f.id = af.folder_id
JOIN files d ON d.folder_id = f.id
WHERE a.id = %(agent_id)s AND d.lines > 0
  AND (f.name || '/' || d.name = %(path)s OR d.name = %(path)s)
ORDER BY f.name || '/' || d.name = %(path)s DESC, f.name LIMIT 1
"""  # noqa: S608 — made of constants

_GREP = """
WITH hit AS (
  SELECT f.name || '/' || d.name AS path, d.id, line.number
  FROM agent_folders af
  JOIN folders f ON f.id = af.folder_id
  JOIN files d ON d.folder_id = f.id,
  unnest(string_to_array(d.content, E'\\n')) WITH ORDINALITY AS line(text, number)
  WHERE af.agent_id = %(agent_id)s AND d.content IS NOT NULL AND line.text ~* %(pattern)s
    AND (%(include)s = '' OR f.name || '/' || d.name ~ %(include)s)
  ORDER BY path, line.number LIMIT %(limit)s OFFSET %(offset)s)
SELECT hit.path, hit.number,
  (string_to_array(d.content, E'\\n'))[
    greatest(hit.number - %(around)s, 1) : hit.number + %(around)s]
FROM hit JOIN files d ON d.id = hit.id ORDER BY hit.path, hit.number
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


async def find_document(
    connection: AsyncConnection, agent_id: str, path: str, window: Window
) -> FoundDocument | None:
    """The agent's document of this path, or of this name in one of its folders."""
    values = {
        "agent_id": agent_id, "path": path, "first": window.first_line, "last": window.last_line
    }  # fmt: skip
    row = await (await connection.execute(_FIND, values)).fetchone()
    if row is None:
        return None
    folder_name, *fields, window_chars, max_open = row
    return FoundDocument(folder_name, Document(*fields), window_chars, max_open)


async def grep(
    connection: AsyncConnection,
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
        psycopg.errors.QueryCanceled: it took longer than `GREP_TIMEOUT_MS`.
    """
    values = {
        "agent_id": agent_id, "pattern": _as_sql(pattern), "include": _as_sql(include),
        "around": around, "limit": limit, "offset": offset,
    }  # fmt: skip
    async with connection.transaction():
        await connection.execute(f"SET LOCAL statement_timeout = {GREP_TIMEOUT_MS}")
        rows = await (await connection.execute(_GREP, values)).fetchall()
    return [GrepHit(*row) for row in rows]


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
