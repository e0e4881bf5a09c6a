"""The tools `open_files`, `grep_files` and `semantic_search_files`.

What a turn opens is a block of its context from then on, and is written with its commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from psycopg import AsyncConnection
from psycopg.errors import InvalidRegularExpression, QueryCanceled
from sqlalchemy import select

from o_contracts.messages import Block
from o_platform.agents.document_blocks import is_document, window_block
from o_platform.agents.document_repository import (
    FoundDocument,
    GrepHit,
    Window,
    find_document,
    grep,
)
from o_platform.bridge.overlay import Overlay
from o_platform.bridge.postgres import Postgres
from o_platform.db.engine import Database
from o_platform.db.models import AgentFolder, Archive
from o_platform.memory.embedders import Embedders
from o_platform.memory.search import PassageQuery, query_models, search_archives
from o_tools.documents import FileOpenRequest, GrepFiles, OpenFiles, SemanticSearchFiles
from o_tools.errors import ToolError

HITS_AT_ONCE: Final = 20
LONGEST_LINE: Final = 500
"""Characters of a found line that the model is shown."""
WAIT_S: Final = 10.0
DocumentCall = OpenFiles | GrepFiles | SemanticSearchFiles


class Opened:
    """What a call came to: the text for the model, and how the blocks changed."""

    __slots__ = ("blocks", "removed", "text")

    def __init__(self, text: str, blocks: list[Block], removed: list[str]) -> None:
        """`removed` are ids of blocks."""
        self.text = text
        self.blocks = blocks
        self.removed = removed


class Documents:
    """Reads the documents of agents' folders."""

    def __init__(self, postgres: Postgres, database: Database, embedders: Embedders) -> None:
        """The first two reach the same database; `embedders` are the models of folders."""
        self._postgres = postgres
        self._database = database
        self._embedders = embedders

    async def open(self, agent_id: str, overlay: Overlay, call: OpenFiles) -> Opened:
        """Open documents, and close the longest open ones if there are too many.

        Raises:
            ToolError: a document that the agent does not have; nothing is opened then.
            DatabaseUnavailableError: it cannot be read now.
        """
        found = [(_window(one), await self._found(agent_id, one)) for one in call.file_requests]
        blocks = []
        for window, one in found:
            block = window_block(one.folder_name, one.document, one.window_chars)
            overlay.open(block, window)
            blocks.append(block)
        named = {block.id for block in blocks}
        limit = max(found[0][1].max_open, len(named))
        closed = list(_to_close(overlay, named, 0 if call.close_all_others else limit))
        for block in closed:
            overlay.close(block)
        return Opened(_told(blocks, closed), blocks, [block.id for block in closed])

    async def grep(self, agent_id: str, call: GrepFiles) -> str:
        """Lines that match.

        Raises:
            ToolError: the pattern is none, or takes too long.
            DatabaseUnavailableError: it cannot be read now.
        """

        async def read(connection: AsyncConnection) -> list[GrepHit]:
            return await grep(
                connection, self._database.vault, agent_id, call.pattern,
                include=call.include or "",
                around=1 if call.context_lines is None else call.context_lines,
                limit=HITS_AT_ONCE + 1, offset=call.offset or 0,
            )  # fmt: skip

        try:
            hits = await self._postgres.run(read, wait_s=WAIT_S)
        except InvalidRegularExpression as error:
            raise ToolError(f"the pattern is no regular expression: {error}") from None
        except (QueryCanceled, TimeoutError):
            raise ToolError("the pattern takes too long; use a simpler one") from None
        around = 1 if call.context_lines is None else call.context_lines
        shown = [_shown(hit, around) for hit in hits[:HITS_AT_ONCE]]
        if len(hits) > HITS_AT_ONCE:
            following = (call.offset or 0) + HITS_AT_ONCE
            shown.append(f"There are more; go on with offset {following}.")
        return "\n\n".join(shown) or "Nothing was found."

    async def search(self, agent_id: str, call: SemanticSearchFiles) -> str:
        """Passages that fit best.

        Raises:
            DatabaseUnavailableError: it cannot be read now.
            OError: an embedding model cannot be reached.
        """
        query = PassageQuery(call.query, top_k=call.limit)
        read = select(AgentFolder.folder_id).where(AgentFolder.agent_id == agent_id)
        async with self._database.unit_of_work() as session:
            archives = list(
                await session.scalars(select(Archive).where(Archive.folder_id.in_(read)))
            )
        models = await query_models(self._embedders, [one.embedding for one in archives], query)
        ids, vault = [one.id for one in archives], self._database.vault
        async with self._database.exchange() as exchange:
            hits = await search_archives(exchange, vault, ids, models, query)
        found = (hit.passage for hit in hits)
        shown = [
            f"{one.meta.get('path')}, line {one.meta.get('line')}:\n{one.text}" for one in found
        ]
        return "\n\n".join(shown) or "Nothing was found."

    async def _found(self, agent_id: str, request: FileOpenRequest) -> FoundDocument:
        window, path = _window(request), request.file_name

        async def read(connection: AsyncConnection) -> FoundDocument | None:
            return await find_document(connection, self._database.vault, agent_id, path, window)

        found = await self._postgres.run(read, wait_s=WAIT_S)
        if found is None:
            raise ToolError(f"there is no file {path!r}; folders and files are listed in memory")
        if window.first_line >= found.document.lines:
            raise ToolError(f"{path} has {found.document.lines} lines; open it with less offset")
        return found


def _window(request: FileOpenRequest) -> Window:
    first = request.offset or 0
    return Window(first, None if request.length is None else first + request.length)


def _to_close(overlay: Overlay, named: set[str], limit: int) -> Iterator[Block]:
    """Open documents that are not named, the longest open ones first, as far as over the limit."""
    others = [b for b in overlay.blocks() if is_document(b) and b.id not in named]
    excess = len(others) + len(named) - max(limit, len(named))
    yield from others[: max(excess, 0)]


def _told(opened: list[Block], closed: list[Block]) -> str:
    heads = [f"{block.label} {block.value.partition(chr(10))[0]}" for block in opened]
    text = "Open among the memory blocks now: " + "; ".join(heads)
    if closed:
        text += ". Closed: " + ", ".join(block.label for block in closed)
    return text


def _shown(hit: GrepHit, around: int) -> str:
    first = max(hit.line - around, 1)
    lines = [
        f"{'>' if number == hit.line else ' '} {number}: {line[:LONGEST_LINE]}"
        for number, line in enumerate(hit.lines, first)
    ]
    return "\n".join([f"{hit.path}:", *lines])
