"""The file-like tool `memory`: blocks as files, named by path.

A call is one of two things: an edit of a block's text, as the other memory tools make it, or a
change of which blocks there are. `/memories/human`, `/human` and `human` name the same block.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from o_tools.edits import Edit, MemoryInsert, MemoryReplace
from o_tools.errors import ToolError

_ROOT = "memories/"
_LONGEST_LABEL = 200


class CreateBlock(Struct, frozen=True):
    """Make a block."""

    label: str
    value: str
    description: str | None


class DeleteBlock(Struct, frozen=True):
    """Take a block from the agent."""

    label: str


class RenameBlock(Struct, frozen=True):
    """Give a block another label."""

    label: str
    new_label: str


class ViewBlock(Struct, frozen=True):
    """Read a block, or the list of all with an empty label."""

    label: str


FileAction = Edit | CreateBlock | DeleteBlock | RenameBlock | ViewBlock


class Memory(Struct, frozen=True):
    """One command on a memory block."""

    command: Annotated[
        Literal["view", "create", "str_replace", "insert", "delete", "rename"],
        Meta(
            description="view (path; /memories for all), create (path, description, file_text), "
            "str_replace (path, old_string, new_string), insert (path, insert_line, insert_text), "
            "delete (path), rename (old_path, new_path)."
        ),
    ]
    path: Annotated[
        str | None, Meta(description="Of the block: /memories/LABEL, or just its label.")
    ] = None
    file_text: Annotated[str | None, Meta(description="Text of a new block.")] = None
    description: Annotated[str | None, Meta(description="What a new block is for.")] = None
    old_string: Annotated[
        str | None, Meta(description="Text to replace; must match exactly and occur once.")
    ] = None
    new_string: Annotated[str | None, Meta(description="Text to put in its place.")] = None
    insert_line: Annotated[
        int | None,
        Meta(description="Insert after this line (0: at the beginning; absent: at the end)."),
    ] = None
    insert_text: Annotated[str | None, Meta(description="Text to insert.")] = None
    old_path: Annotated[str | None, Meta(description="Path of the block to rename.")] = None
    new_path: Annotated[str | None, Meta(description="Its new path.")] = None

    def action(self) -> FileAction:
        """What the command does.

        Raises:
            ToolError: an argument that it needs is missing, or a path names no block.
        """
        match self.command:
            case "view":
                return ViewBlock("" if _names_all(self.path) else _label("path", self.path))
            case "create":
                text = self.file_text or ""
                return CreateBlock(_label("path", self.path), text, self.description)
            case "str_replace":
                old = self._needed("old_string", self.old_string)
                return MemoryReplace(_label("path", self.path), old, self.new_string or "")
            case "insert":
                text = self._needed("insert_text", self.insert_text)
                line = -1 if self.insert_line is None else self.insert_line
                return MemoryInsert(_label("path", self.path), text, line)
            case "delete":
                return DeleteBlock(_label("path", self.path))
            case "rename":
                present = _label("old_path", self.old_path or self.path)
                return RenameBlock(present, _label("new_path", self.new_path))

    def _needed(self, name: str, value: str | None) -> str:
        if value is None:
            raise ToolError(f"the command {self.command} needs {name}")
        return value


def _names_all(path: str | None) -> bool:
    """Whether it is no path, or that of the folder that all blocks are in."""
    return (path or "").strip().strip("/") in {"", _ROOT.strip("/")}


def _label(name: str, path: str | None) -> str:
    label = (path or "").strip().strip("/").removeprefix(_ROOT).strip("/")
    if not label or _names_all(path):
        raise ToolError(f"{name} must name a memory block, such as /{_ROOT}human; not {path!r}")
    if len(label) > _LONGEST_LABEL or "\0" in label:
        raise ToolError(f"{name} must have at most {_LONGEST_LABEL} characters, and no NUL")
    return label
