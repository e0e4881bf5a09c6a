"""Memory edits of one turn: seen by the turn at once, by everyone else after its commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from o_contracts.ids import new_id
from o_contracts.messages import Block
from o_platform.agents.defaults import DEFAULT_BLOCK_LIMIT
from o_platform.agents.document_repository import Window
from o_platform.errors import ConflictError
from o_tools.edits import Edit, edited, require_within_limit, require_writable
from o_tools.errors import ToolError
from o_tools.files import CreateBlock

MAX_CHANGES: Final = 256
"""Edits and new passages of one turn."""


class MemoryConflictError(ConflictError):
    """A block changed since the turn read it, and the turn's edit does not fit its new text."""

    code = "memory_conflict"
    retryable = True


@dataclass(slots=True)
class BlockEdits:
    """The edits of one block: the version they were made on, the text they led to."""

    base: Block
    value: str
    edits: list[Edit] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    """Names of the tools that made the edits."""

    def value_on(self, fresh: Block) -> str:
        """The block's next text, given what it is now.

        Raises:
            MemoryConflictError: it changed, and the edits cannot be made on the new text.
        """
        if fresh.version == self.base.version:
            return self.value
        value = fresh.value
        for edit in self.edits:
            if not edit.rebases:
                raise self.conflict("the whole text was rewritten")
            try:
                value = edited(fresh, value, edit)
            except ToolError as error:
                raise self.conflict(str(error)) from error
        return value

    def conflict(self, reason: str) -> MemoryConflictError:
        """The error for edits that cannot be made on the block as it is now."""
        return MemoryConflictError(
            f"the block {self.base.label!r} was changed while the turn ran, and the turn's edit "
            f"cannot be repeated on its new text ({reason}); run the turn again",
            block_id=self.base.id,
            label=self.base.label,
        )


class NewPassage(NamedTuple):
    """A text for archival memory."""

    text: str
    tags: list[str]


class Overlay:
    """The edits of one turn on top of the blocks it opened with."""

    __slots__ = (
        "_blocks", "_changes", "created", "edited", "passages", "removed", "renamed", "windows"
    )  # fmt: skip

    def __init__(self, blocks: Sequence[Block]) -> None:
        """`blocks` as the turn opened with them."""
        self._blocks = {block.label: block for block in blocks}
        self._changes = 0
        self.edited: dict[str, BlockEdits] = {}
        self.passages: list[NewPassage] = []
        self.created: dict[str, Block] = {}
        """Blocks that the turn made, by id."""
        self.removed: set[str] = set()
        """Ids of blocks that the agent no longer has."""
        self.renamed: dict[str, str] = {}
        """New labels by block id."""
        self.windows: dict[str, Window | None] = {}
        """Documents that were opened, or closed, by id."""

    def __bool__(self) -> bool:
        """Whether the commit has anything to write."""
        return bool(self.edited or self.passages or self.windows or self.reshapes)

    @property
    def reshapes(self) -> bool:
        """Whether other blocks are there afterwards, or the same under other labels."""
        return bool(self.created or self.removed or self.renamed)

    def block(self, label: str) -> Block:
        """The block as the turn sees it.

        Raises:
            ToolError: there is none.
        """
        block = self._blocks.get(label)
        if block is None:
            labels = ", ".join(self._blocks) or "none"
            raise ToolError(f"there is no memory block {label!r}; the blocks are: {labels}")
        return block

    def edit(self, edit: Edit, tool: str) -> Block:
        """Make an edit by a tool; returns the block as the turn sees it from now on.

        Raises:
            ToolError: no such block, it is read-only, the edit does not fit or exceeds its limit,
                or the turn has made too many changes.
        """
        block = self.block(edit.label)
        value = edited(block, block.value, edit)
        self._count()
        if block.id in self.created:
            changed = self.created[block.id] = msgspec.structs.replace(block, value=value)
        else:
            edits = self.edited.setdefault(block.id, BlockEdits(block, value))
            edits.value = value
            edits.edits.append(edit)
            edits.tools.append(tool)
            changed = msgspec.structs.replace(block, value=value, version=edits.base.version + 1)
        self._blocks[edit.label] = changed
        return changed

    def create(self, wanted: CreateBlock) -> Block:
        """Make a block.

        Raises:
            ToolError: the label is taken, the text too long, or there were too many changes.
        """
        self._require_free(wanted.label)
        block = Block(
            new_id("block"), wanted.label, wanted.value, DEFAULT_BLOCK_LIMIT, wanted.description
        )
        require_within_limit(block, wanted.value)
        self._count()
        self.created[block.id] = self._blocks[wanted.label] = block
        return block

    def remove(self, label: str) -> Block:
        """Take a block from the agent; returns it.

        Raises:
            ToolError: there is none, it is read-only, or there were too many changes.
        """
        block = self._writable(label)
        self._count()
        del self._blocks[label]
        self.edited.pop(block.id, None)
        self.renamed.pop(block.id, None)
        if self.created.pop(block.id, None) is None:
            self.removed.add(block.id)
        return block

    def rename(self, label: str, new_label: str) -> Block:
        """Give a block another label; returns it as the turn sees it from now on.

        Raises:
            ToolError: there is none, it is read-only, the label is taken, or there were too many
                changes.
        """
        block = self._writable(label)
        self._require_free(new_label)
        self._count()
        changed = msgspec.structs.replace(block, label=new_label)
        self._blocks = {
            new_label if label == old else old: changed if label == old else kept
            for old, kept in self._blocks.items()
        }
        if block.id in self.created:
            self.created[block.id] = changed
        else:
            self.renamed[block.id] = new_label
        return changed

    def open(self, block: Block, window: Window) -> None:
        """Show lines of a document.

        Raises:
            ToolError: a block has its label, or the turn has made too many changes.
        """
        held = self._blocks.get(block.label)
        if held is not None and held.id != block.id:
            raise ToolError(f"a memory block is called {block.label!r}; rename it first")
        self._count()
        self._blocks.pop(block.label, None)
        self._blocks[block.label] = block
        self.windows[block.id] = window

    def close(self, block: Block) -> None:
        """Show a document no more."""
        del self._blocks[block.label]
        self.windows[block.id] = None

    def keep(self, text: str, tags: list[str]) -> None:
        """Put a text into archival memory.

        Raises:
            ToolError: the turn has made too many changes.
        """
        self._count()
        self.passages.append(NewPassage(text, tags))

    def blocks(self) -> list[Block]:
        """Every block as the turn sees it, in the order it opened with."""
        return list(self._blocks.values())

    def _writable(self, label: str) -> Block:
        block = self.block(label)
        require_writable(block)
        return block

    def _require_free(self, label: str) -> None:
        if label in self._blocks:
            raise ToolError(f"there is a memory block {label!r} already; edit it instead")

    def _count(self) -> None:
        if self._changes >= MAX_CHANGES:
            raise ToolError(f"the memory was changed {MAX_CHANGES} times in this turn; stop here")
        self._changes += 1
