"""Folders and open documents as blocks of a context: read-only, and held by no table of blocks.

Every folder that an agent reads is a block `NAME/` that lists its documents, every document it has
open a block `NAME/FILE` with the lines it looks at. The ids are those of folder and document.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec import Struct

from o_contracts.messages import Block

WINDOW_CHARS: Final = 25_000
"""Characters of an open document that an agent is shown, unless its configuration says."""
MAX_OPEN: Final = 10
"""Documents that an agent may have open, unless its configuration says."""
LISTED_FILES: Final = 200
"""Documents of a folder that are listed."""


class Document(Struct, frozen=True):
    """A document; if it is open, `text` are lines of it from `first_line` (0-based) on.

    `lines` counts all of it; `last_line` is exclusive, None for as many as fit.
    """

    id: str
    name: str
    lines: int
    is_open: bool = False
    first_line: int = 0
    last_line: int | None = None
    text: str | None = None


class ReadFolder(Struct, frozen=True):
    """A folder that an agent reads, and its documents, the open ones first."""

    id: str
    name: str
    description: str | None
    instructions: str | None
    file_count: int
    files: list[Document]
    window_chars: int = WINDOW_CHARS


def document_blocks(folders: Sequence[ReadFolder], taken: Collection[str]) -> list[Block]:
    """The blocks that show these folders; a label that is taken already is left out."""
    return [block for block in _blocks(folders) if block.label not in taken]


def is_document(block: Block) -> bool:
    """Whether a block shows an open document."""
    return block.id.startswith("file-")


def window_block(folder_name: str, document: Document, window_chars: int) -> Block:
    """An open document as a block of at most `window_chars` characters."""
    text, shown = window_text(document, window_chars)
    head = f"[lines {document.first_line + 1} to {document.first_line + shown}"
    value = f"{head} of {document.lines}; `open_files` shows others]\n{text}"
    path = f"{folder_name}/{document.name}"
    return Block(document.id, path, value, len(value), "A document you have open.", True)


def window_text(document: Document, window_chars: int) -> tuple[str, int]:
    """The numbered lines of a window that fit, and how many they are."""
    shown: list[str] = []
    room = window_chars
    for number, line in enumerate((document.text or "").split("\n"), document.first_line + 1):
        numbered = f"{number}: {line}"
        if len(numbered) > room:
            if not shown:
                shown.append(numbered[:room])
            break
        shown.append(numbered)
        room -= len(numbered) + 1
    return "\n".join(shown), len(shown)


def _blocks(folders: Sequence[ReadFolder]) -> Iterator[Block]:
    for folder in folders:
        yield _folder_block(folder)
        for document in folder.files:
            if document.is_open:
                yield window_block(folder.name, document, folder.window_chars)


def _folder_block(folder: ReadFolder) -> Block:
    lines = [folder.instructions] if folder.instructions else []
    files = sorted(folder.files, key=lambda one: one.name)
    lines += [f"- {folder.name}/{file.name} ({file.lines} lines)" for file in files]
    if folder.file_count > len(files):
        lines.append(f"and {folder.file_count - len(files)} more; search for them")
    value = "\n".join(lines) or "This folder is empty."
    label = f"{folder.name}/"
    return Block(folder.id, label, value, len(value), folder.description, True)
