"""Memory edits of one turn: seen by the turn at once, by everyone else after its commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from o_contracts.messages import Block
from o_platform.errors import ConflictError
from o_tools.edits import Edit
from o_tools.errors import ToolError

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
                value = _edited(fresh, value, edit)
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

    __slots__ = ("_blocks", "_changes", "edited", "passages")

    def __init__(self, blocks: Sequence[Block]) -> None:
        """`blocks` as the turn opened with them."""
        self._blocks = {block.label: block for block in blocks}
        self._changes = 0
        self.edited: dict[str, BlockEdits] = {}
        self.passages: list[NewPassage] = []

    def __bool__(self) -> bool:
        """Whether the commit has anything to write."""
        return bool(self.edited or self.passages)

    def edit(self, edit: Edit) -> Block:
        """Make an edit; returns the block as the turn sees it from now on.

        Raises:
            ToolError: no such block, it is read-only, the edit does not fit or exceeds its limit,
                or the turn has made too many changes.
        """
        block = self._blocks.get(edit.label)
        if block is None:
            labels = ", ".join(self._blocks) or "none"
            raise ToolError(f"there is no memory block {edit.label!r}; the blocks are: {labels}")
        value = _edited(block, block.value, edit)
        self._count()
        edits = self.edited.setdefault(block.id, BlockEdits(block, value))
        edits.value = value
        edits.edits.append(edit)
        changed = msgspec.structs.replace(block, value=value, version=edits.base.version + 1)
        self._blocks[edit.label] = changed
        return changed

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

    def _count(self) -> None:
        if self._changes >= MAX_CHANGES:
            raise ToolError(f"the memory was changed {MAX_CHANGES} times in this turn; stop here")
        self._changes += 1


def _edited(block: Block, value: str, edit: Edit) -> str:
    if block.read_only:
        raise ToolError(f"the memory block {block.label!r} is read-only")
    changed = edit.apply(value)
    if len(changed) > block.limit:
        raise ToolError(
            f"the edit would make the memory block {block.label!r} {len(changed)} characters long; "
            f"its limit is {block.limit}. Shorten it first"
        )
    return changed
