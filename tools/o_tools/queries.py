"""Arguments of the tools that reach beyond the memory blocks, as the model writes them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_RESULTS = 100
MAX_TEXT = 50_000
MAX_TAGS = 32
Tag = Annotated[str, Meta(max_length=100)]
"""Bounds of what is kept: PostgreSQL's indexes of words and tags have no room for more."""


class ConversationSearch(Struct, frozen=True):
    """Look into the agent's own history."""

    query: Annotated[str, Meta(description="Words to look for; empty lists the newest.")] = ""
    roles: Annotated[
        list[Literal["user", "assistant", "tool"]],
        Meta(description="Only messages of these roles; empty for all."),
    ] = []
    limit: Annotated[int, Meta(ge=1, le=MAX_RESULTS, description="How many at most.")] = 10
    start_date: Annotated[str, Meta(description="ISO 8601; only messages from then on.")] = ""
    end_date: Annotated[
        str, Meta(description="ISO 8601; only messages until then, a day as a whole.")
    ] = ""


class ArchivalMemoryInsert(Struct, frozen=True):
    """Keep a text for later."""

    content: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, description="Text to keep.")]
    tags: Annotated[
        list[Tag], Meta(max_length=MAX_TAGS, description="Words to file it under.")
    ] = []


class ArchivalMemorySearch(Struct, frozen=True):
    """Find kept texts by meaning."""

    query: Annotated[str, Meta(min_length=1, description="What to look for, in plain words.")]
    tags: Annotated[list[str], Meta(description="Only texts filed under these.")] = []
    tag_match_mode: Annotated[
        Literal["any", "all"], Meta(description="Whether one tag is enough or all must match.")
    ] = "any"
    top_k: Annotated[int, Meta(ge=1, le=MAX_RESULTS, description="How many at most.")] = 10
    start_datetime: Annotated[str, Meta(description="ISO 8601; only texts from then on.")] = ""
    end_datetime: Annotated[
        str, Meta(description="ISO 8601; only texts until then, a day as a whole.")
    ] = ""


class SendMessage(Struct, frozen=True):
    """Say something to the user (agents of older types)."""

    message: Annotated[str, Meta(description="Text for the user.")]


class MemoryFinishEdits(Struct, frozen=True):
    """Say that the memory edits are done."""
