"""Every built-in tool: its name, what the model is told, and its arguments' type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct

from o_contracts.messages import ToolSpec
from o_tools import documents, edits, files, queries
from o_tools.errors import ToolError

_TOOLS: Final[tuple[tuple[str, type[Struct], str], ...]] = (
    ("memory_insert", edits.MemoryInsert, "Insert text into a memory block at a line."),
    (
        "memory_replace",
        edits.MemoryReplace,
        "Replace one exact text in a memory block by another; the text must occur exactly once.",
    ),
    (
        "memory_rethink",
        edits.MemoryRethink,
        "Rewrite a whole memory block, for large changes that replacing pieces cannot do.",
    ),
    ("memory_apply_patch", edits.MemoryApplyPatch, "Apply a unified patch to a memory block."),
    ("memory_finish_edits", queries.MemoryFinishEdits, "Call when all memory edits are done."),
    ("core_memory_append", edits.CoreMemoryAppend, "Append a line to a memory block."),
    (
        "core_memory_replace",
        edits.CoreMemoryReplace,
        "Replace an exact text in a memory block by another.",
    ),
    (
        "memory",
        files.Memory,
        "Organise your memory blocks like files: view, create, edit, delete and rename them.",
    ),
    (
        "conversation_search",
        queries.ConversationSearch,
        "Search your earlier conversation, also what is no longer in your context.",
    ),
    (
        "archival_memory_insert",
        queries.ArchivalMemoryInsert,
        "Keep a text in long-term archival memory, filed under tags.",
    ),
    (
        "archival_memory_search",
        queries.ArchivalMemorySearch,
        "Search long-term archival memory by meaning.",
    ),
    ("send_message", queries.SendMessage, "Send a message to the user."),
    (
        "open_files",
        documents.OpenFiles,
        "Have documents of your folders shown in your memory, or other lines of them.",
    ),
    (
        "grep_files",
        documents.GrepFiles,
        "Find the lines of your folders' documents that match a regular expression.",
    ),
    (
        "semantic_search_files",
        documents.SemanticSearchFiles,
        "Search your folders' documents by meaning.",
    ),
)


def _parameters(arguments: type[Struct]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([arguments])
    schema: dict[str, Any] = _inlined(components[arguments.__name__], components)
    return {
        "type": "object",
        "properties": schema.get("properties", {}),
        "required": schema.get("required", []),
    }


def _inlined(schema: Any, components: Mapping[str, Any]) -> Any:
    """The schema without references: some models' providers do not follow them."""
    if isinstance(schema, list):
        return [_inlined(one, components) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[schema["$ref"].rpartition("/")[2]], components)
    return {key: _inlined(value, components) for key, value in schema.items()}


SPECS: Final[Mapping[str, ToolSpec]] = MappingProxyType(
    {
        name: ToolSpec(name=name, description=description, parameters=_parameters(arguments))
        for name, arguments, description in _TOOLS
    }
)
"""What the model is told of each tool, by name."""

_DECODERS: Final = {
    name: msgspec.json.Decoder(arguments, strict=False) for name, arguments, _ in _TOOLS
}


def specs_of(names: Iterable[str]) -> list[ToolSpec]:
    """The specs of the built-in tools among `names`, in that order."""
    return [SPECS[name] for name in names if name in SPECS]


def parse_call(name: str, arguments: str) -> Struct:
    """The arguments of a call, as one of the types in `edits` and `queries`.

    Unknown arguments are ignored and numbers in quotes are taken, as models write them.

    Raises:
        ToolError: no such tool, or arguments that do not fit its schema.
    """
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise ToolError(f"there is no tool {name!r}; the tools are {', '.join(SPECS)}")
    try:
        call: Struct = decoder.decode(arguments or "{}")
    except msgspec.MsgspecError as error:
        raise ToolError(f"the arguments of {name} are not valid: {error}") from error
    return call
