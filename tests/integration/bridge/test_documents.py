"""Tools that read documents, in turns: what is opened is seen at once, kept with the turn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from o_contracts.bridge import TurnCommitted
from o_contracts.ids import new_id
from o_platform.agents import document_repository
from o_platform.agents.document_repository import MATCHED_LINES
from o_platform.db.sealed_columns import FILE_CONTENT
from o_platform.memory.embeddings import embed
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration
TOOLS = ["open_files", "grep_files", "semantic_search_files"]


@pytest.fixture
def reader(rows: Any) -> str:
    """An agent with the folder `docs` of three documents, two of which it may have open."""
    agent = rows.agent(tools=TOOLS, config=Jsonb({"max_files_open": 2}))
    rows.block(agent, "human", "Ada")
    folder, archive = new_id("source"), new_id("archive")
    rows._insert("folders", {"id": folder, "name": "docs", "chunk_size": 100, "instructions": "i"})
    rows._insert("agent_folders", {"agent_id": agent, "folder_id": folder})
    rows._insert(
        "archives",
        {"id": archive, "name": "docs", "embedding": "o/hash", "dimensions": 256,
         "folder_id": folder},
    )  # fmt: skip
    for name in ("a.md", "b.md", "c.txt"):
        add_file(rows, folder, name, 50)
    text, passage = "The volcano sleeps.", new_id("passage")
    meta = Jsonb({"path": "docs/a.md", "line": 7})
    rows._insert(
        "passages",
        {"id": passage, "archive_id": archive, "text": text, "words": "", "tags": [],
         "metadata": meta},
    )  # fmt: skip
    rows._insert(
        "passage_vectors",
        {"passage_id": passage, "model": "o/hash", "archive_id": archive, "dimensions": 256,
         "embedding": str(embed(text)), "tags": [], "created_at": "2026-01-01T00:00:00Z"},
    )  # fmt: skip
    return str(agent)


def add_file(rows: Any, folder: str, name: str, lines: int) -> None:
    """A document whose lines are numbered; `a.md` is one from before documents were sealed."""
    file_id, content = new_id("file"), "\n".join(f"{name} line {n}" for n in range(1, lines + 1))
    if name != "a.md":
        content = FILE_CONTENT.sealed(vault_of_tests(), content, file_id)
    rows._insert(
        "files",
        {"id": file_id, "folder_id": folder, "name": name, "original_name": name,
         "media_type": "text/plain", "size_bytes": 1, "status": "embedding",
         "content": content, "lines": lines},
    )  # fmt: skip


def opening(*names: str, **fields: Any) -> str:
    requests = [{"file_name": name, **fields} for name in names]
    return json.dumps({"file_requests": requests})


def labels(blocks: Any) -> list[str]:
    return [block.label for block in blocks]


async def test_what_is_opened_is_seen_and_kept(
    bridge: Any, new_worker: Any, rows: Any, reader: str
) -> None:
    worker = await new_worker()
    turn = await worker.open(reader)
    blocks = {block.label: block for block in turn.context.blocks}
    assert list(blocks) == ["human", "docs/"]
    assert blocks["docs/"].read_only
    assert "- docs/a.md (50 lines)" in blocks["docs/"].value

    opened = await worker.tool(turn, "open_files", opening("docs/a.md", offset=9, length=2))
    assert opened.result.status == "success"
    (window,) = opened.blocks
    head, *lines = window.value.split("\n")
    assert (window.label, lines) == ("docs/a.md", ["10: a.md line 10", "11: a.md line 11"])
    assert "lines 10 to 11 of 50" in head

    await worker.tool(turn, "open_files", opening("b.md"), seq=1)
    third = await worker.tool(turn, "open_files", opening("docs/c.txt"), seq=2)
    assert third.removed == [window.id]
    assert rows.all("SELECT file_id FROM open_files") == []
    assert await worker.commit(reader, turn) == TurnCommitted(2)
    assert rows.one("SELECT count(*) FROM open_files") == 2

    cached = await worker.open(reader)
    assert labels(cached.context.blocks) == ["human", "docs/", "docs/b.md", "docs/c.txt"]
    await worker.commit(reader, cached)
    bridge.cache.drop([reader])
    loaded = await worker.open(reader)
    assert loaded.context.blocks == cached.context.blocks


async def test_lines_and_passages_are_found(
    bridge: Any, new_worker: Any, rows: Any, reader: str
) -> None:
    worker = await new_worker()
    turn = await worker.open(reader)
    call = json.dumps({"pattern": r"LINE 5\b", "include": r"\.md$", "context_lines": 1})
    found = await worker.tool(turn, "grep_files", call)
    assert found.result.tool_return == (
        "docs/a.md:\n  4: a.md line 4\n> 5: a.md line 5\n  6: a.md line 6\n\n"
        "docs/b.md:\n  4: b.md line 4\n> 5: b.md line 5\n  6: b.md line 6"
    )
    many = await worker.tool(turn, "grep_files", '{"pattern": "line"}', seq=1)
    assert many.result.tool_return.endswith("go on with offset 20.")
    near = await worker.tool(turn, "semantic_search_files", '{"query": "volcano"}', seq=2)
    assert near.result.tool_return == "docs/a.md, line 7:\nThe volcano sleeps."

    wrong = {
        "no regular expression": ("grep_files", '{"pattern": "("}'),
        "no file 'd.md'": ("open_files", opening("a.md", "d.md")),
        "has 50 lines": ("open_files", opening("a.md", offset=50)),
    }
    for seq, (part, (name, arguments)) in enumerate(wrong.items(), 3):
        told = await worker.tool(turn, name, arguments, seq=seq)
        assert told.result.status == "error"
        assert part in told.result.tool_return
    await worker.commit(reader, turn)
    assert rows.all("SELECT file_id FROM open_files") == []


async def test_a_long_document_is_searched_and_opened_where_it_is_long(
    bridge: Any, new_worker: Any, rows: Any, reader: str
) -> None:
    folder = rows.one("SELECT id FROM folders")
    add_file(rows, folder, "long.txt", 3 * MATCHED_LINES)
    worker = await new_worker()
    turn = await worker.open(reader)
    last = MATCHED_LINES
    call = json.dumps({"pattern": rf"long.txt line ({last}|{last + 1}|{3 * last})$"})
    found = await worker.tool(turn, "grep_files", call)
    marked = [row for row in found.result.tool_return.split("\n") if row.startswith(">")]
    assert marked == [f"> {n}: long.txt line {n}" for n in (last, last + 1, 3 * last)]
    assert f"  {last}: long.txt line {last}\n> {last + 1}" in found.result.tool_return
    opened = await worker.tool(turn, "open_files", opening("long.txt", offset=3 * last - 1), seq=1)
    assert opened.blocks[0].value.split("\n")[1:] == [f"{3 * last}: long.txt line {3 * last}"]


async def test_a_search_that_takes_too_long_is_ended(
    bridge: Any, new_worker: Any, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await new_worker()
    turn = await worker.open(reader)
    with monkeypatch.context() as patch:
        patch.setattr(document_repository, "GREP_LIMIT_S", 0.0)
        told = await worker.tool(turn, "grep_files", '{"pattern": "line 50"}')
    assert told.result.status == "error"
    assert "the pattern takes too long" in told.result.tool_return
    found = await worker.tool(turn, "grep_files", '{"pattern": "line 50"}', seq=1)
    assert found.result.tool_return.count("> 50: ") == 3
