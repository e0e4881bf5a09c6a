"""Arguments of the tools that read documents of folders, as the model writes them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

MAX_REQUESTS = 10
MAX_CONTEXT_LINES = 20
MAX_FOUND = 50
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Some = Annotated[int, Meta(ge=1, le=1_000_000_000)]
ContextLines = Annotated[int, Meta(ge=0, le=MAX_CONTEXT_LINES)]
Pattern = Annotated[str, Meta(max_length=500)]


class FileOpenRequest(Struct, frozen=True):
    """A document to open, and which of its lines."""

    file_name: Annotated[str, Meta(min_length=1, description="Its path, as `folder/file`.")]
    offset: Annotated[
        Count | None, Meta(description="Lines to leave out at the beginning; default none.")
    ] = None
    length: Annotated[
        Some | None, Meta(description="How many lines to see; default as many as fit.")
    ] = None


class OpenFiles(Struct, frozen=True):
    """Have documents shown among the memory blocks."""

    file_requests: Annotated[
        list[FileOpenRequest],
        Meta(min_length=1, max_length=MAX_REQUESTS, description="Which documents to open."),
    ]
    close_all_others: Annotated[
        bool, Meta(description="Close every document that is not named here.")
    ] = False


class GrepFiles(Struct, frozen=True):
    """Find lines by a pattern."""

    pattern: Annotated[
        str,
        Meta(min_length=1, max_length=500, description="A regular expression; case is ignored."),
    ]
    include: Annotated[
        Pattern | None,
        Meta(description=r"Only paths that match this, such as `\.md$`."),
    ] = None
    context_lines: Annotated[
        ContextLines | None,
        Meta(description="Lines to show around each; default 1."),
    ] = 1
    offset: Annotated[Count | None, Meta(description="Matches to leave out at first.")] = None


class SemanticSearchFiles(Struct, frozen=True):
    """Find passages by meaning."""

    query: Annotated[str, Meta(min_length=1, description="What to look for, in plain words.")]
    limit: Annotated[int, Meta(ge=1, le=MAX_FOUND, description="How many at most.")] = 5
