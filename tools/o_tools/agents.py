"""Arguments of the tools by which agents talk to each other, as the model writes them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from o_tools.queries import MAX_TAGS, MAX_TEXT

_Message = Annotated[
    str, Meta(min_length=1, max_length=MAX_TEXT, description="What to say, with all it needs.")
]
_Other = Annotated[str, Meta(description="The id of the other agent, `agent-…`.")]
_Tags = Annotated[list[str], Meta(max_length=MAX_TAGS)]


class SendMessageToAgentAsync(Struct, frozen=True):
    """Say something to another agent, and go on."""

    message: _Message
    other_agent_id: _Other


class SendMessageToAgentAndWaitForReply(Struct, frozen=True):
    """Say something to another agent, and wait for what it says."""

    message: _Message
    other_agent_id: _Other


class SendMessageToAgentsMatchingTags(Struct, frozen=True):
    """Say something to all agents with some tags, and wait for what they say."""

    message: _Message
    match_all: Annotated[_Tags, Meta(description="Tags that each of them has.")] = []
    match_some: Annotated[_Tags, Meta(description="Tags of which each has one at least.")] = []
