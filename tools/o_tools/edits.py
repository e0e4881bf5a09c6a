"""Edits of a memory block's text, as the model writes them.

An edit is recorded with the turn and applied again when the block changed before the turn was
committed; `rebases` says whether that is right (an edit that states the whole new text would undo
the other change silently).
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Annotated, ClassVar

from msgspec import Meta, Struct, StructMeta

from o_contracts.messages import Block
from o_tools.errors import ToolError
from o_tools.patch import apply_patch

Label = Annotated[str, Meta(description="Label of the memory block to edit.")]


class _AbstractStruct(StructMeta, ABCMeta):
    """Lets a struct have abstract methods."""


class Edit(Struct, metaclass=_AbstractStruct, frozen=True):
    """A change of one block's text."""

    rebases: ClassVar[bool] = True

    label: Label

    @abstractmethod
    def apply(self, value: str) -> str:
        """The new text of the block, given its present one.

        Raises:
            ToolError: the edit does not fit this text.
        """


class MemoryInsert(Edit, frozen=True):
    """Insert text at a line."""

    new_string: Annotated[str, Meta(description="Text to insert, without line numbers.")]
    insert_line: Annotated[
        int,
        Meta(description="Insert after this line (0: at the beginning, -1: at the end)."),
    ] = -1

    def apply(self, value: str) -> str:
        """`value` with the text inserted."""
        lines = value.split("\n") if value else []
        at = len(lines) if self.insert_line == -1 else self.insert_line
        if not 0 <= at <= len(lines):
            raise ToolError(
                f"insert_line {self.insert_line} is outside the block, which has {len(lines)} "
                f"lines; use 0 to {len(lines)}, or -1 for the end"
            )
        return "\n".join([*lines[:at], *self.new_string.split("\n"), *lines[at:]])


class MemoryReplace(Edit, frozen=True):
    """Replace a text that occurs exactly once."""

    old_string: Annotated[
        str, Meta(description="Text to replace; must match exactly and occur once.")
    ]
    new_string: Annotated[str, Meta(description="Text to put in its place; empty deletes.")]

    def apply(self, value: str) -> str:
        """`value` with the one occurrence replaced."""
        count = value.count(self.old_string) if self.old_string else 0
        if count != 1:
            found = "does not occur" if count == 0 else f"occurs {count} times"
            raise ToolError(f"old_string {found} in the block {self.label!r}; it must occur once")
        return value.replace(self.old_string, self.new_string)


class MemoryRethink(Edit, frozen=True):
    """Replace the whole text."""

    rebases: ClassVar[bool] = False

    new_memory: Annotated[str, Meta(description="The complete new text of the block.")]

    def apply(self, value: str) -> str:
        """The new text, whatever `value` was."""
        return self.new_memory


class MemoryApplyPatch(Edit, frozen=True):
    """Apply a unified patch."""

    patch: Annotated[
        str,
        Meta(
            description="Unified patch: context lines start with a space, removed lines with -, "
            "added lines with +; @@ between hunks. No line numbers."
        ),
    ]

    def apply(self, value: str) -> str:
        """`value` with the patch applied."""
        return apply_patch(value, self.patch)


class CoreMemoryAppend(Edit, frozen=True):
    """Append a line."""

    content: Annotated[str, Meta(description="Text to append on a new line.")]

    def apply(self, value: str) -> str:
        """`value` and the text on a line of its own."""
        return f"{value}\n{self.content}" if value else self.content


class CoreMemoryReplace(Edit, frozen=True):
    """Replace every occurrence of a text."""

    old_content: Annotated[str, Meta(description="Text to replace; must match exactly.")]
    new_content: Annotated[str, Meta(description="Text to put in its place; empty deletes.")]

    def apply(self, value: str) -> str:
        """`value` with every occurrence replaced."""
        if not self.old_content or self.old_content not in value:
            raise ToolError(f"old_content does not occur in the block {self.label!r}")
        return value.replace(self.old_content, self.new_content)


def edited(block: Block, value: str, edit: Edit) -> str:
    """The text of a block after one more edit; `value` is what it was before.

    Raises:
        ToolError: the block is read-only, the edit does not fit or exceeds its limit.
    """
    require_writable(block)
    changed = edit.apply(value)
    require_within_limit(block, changed)
    return changed


def require_writable(block: Block) -> None:
    """Let only what may be edited pass.

    Raises:
        ToolError: the block is read-only.
    """
    if block.read_only:
        raise ToolError(f"the memory block {block.label!r} is read-only")


def require_within_limit(block: Block, value: str) -> None:
    """Let only a text pass that the block has room for.

    Raises:
        ToolError: it is too long.
    """
    if len(value) > block.limit:
        raise ToolError(
            f"the edit would make the memory block {block.label!r} {len(value)} characters long; "
            f"its limit is {block.limit}. Shorten it first"
        )
