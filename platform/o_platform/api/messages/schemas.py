"""Parameters and bodies of an agent's messages."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from o_contracts.messages import MessageType
from o_platform.agents.history_repository import MessageFilter
from o_platform.api.fields import Input, MessageId, PageQuery, RunId
from o_platform.api.messages.wire import MessageView


class MessageListQuery(PageQuery):
    """Which messages to list, and how to show them."""

    before: MessageId | None = None
    after: MessageId | None = None
    include_return_message_types: list[MessageType] | None = None
    include_err: bool | None = None
    conversation_id: str | None = None
    group_id: str | None = None
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"

    def view(self) -> MessageView:
        """How to show them."""
        tool = self.assistant_message_tool_name if self.use_assistant_message else None
        return MessageView(tool, self.assistant_message_tool_kwarg)

    def filter(self, conversation_id: str | None = None) -> MessageFilter:
        """Which messages to fetch, of a conversation or the default one."""
        return MessageFilter(
            self.include_return_message_types, self.view().assistant_tool, conversation_id
        )


class RunMessagesQuery(PageQuery):
    """Which messages of a run to list."""

    before: MessageId | None = None
    after: MessageId | None = None


class CancelMessages(Input):
    """Body of a cancellation; without runs, all of the agent's."""

    run_ids: list[RunId] | None = None


class ResetMessages(Input):
    """Body of a reset; this server keeps no initial messages apart, so nothing is added."""

    add_default_initial_messages: bool = False


class MessageState(BaseModel):
    """One message; which further fields it has depends on `message_type`."""

    model_config = ConfigDict(extra="allow")

    id: str
    message_type: MessageType
    date: str
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    step_id: str | None = None
    run_id: str | None = None
    seq_id: int | None = None
    is_err: bool | None = None
    content: str | list[dict[str, Any]] | None = Field(None, description="of text messages")
