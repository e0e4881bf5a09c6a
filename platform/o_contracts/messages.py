"""Messages and agent context as they travel between bridge and instance.

One stored message is one message of the public API (so paging is exact by construction); the
messages of one LLM reply (reasoning, text, tool calls) share a `step_id` and are joined again when
the context window is compiled.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

MessageType = Literal[
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
    "summary_message",
    "event_message",
]
Id = Annotated[str, Meta(max_length=64)]
"""An id that is stored under an index, which has no room for a long one."""
DateUs = Annotated[int, Meta(ge=0, lt=253_402_300_800_000_000)]
"""Microseconds since the Unix epoch, until the end of the year 9999: what a calendar can show."""
StopReason = Literal[
    "end_turn",
    "error",
    "llm_api_error",
    "invalid_llm_response",
    "invalid_tool_call",
    "max_steps",
    "max_tokens_exceeded",
    "no_tool_call",
    "tool_rule",
    "cancelled",
    "requires_approval",
    "context_window_overflow_in_system_prompt",
    "insufficient_credits",
]


class ToolCall(Struct, frozen=True, gc=False):
    """A tool call of the model; `arguments` is JSON text exactly as the model wrote it."""

    tool_call_id: str
    name: str
    arguments: str


class ToolReturn(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a tool call gave back to the model."""

    tool_call_id: str
    status: Literal["success", "error"]
    tool_return: str
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class Message(Struct, frozen=True, omit_defaults=True, gc=False):
    """One message of an agent's history.

    `content` is text, or the content parts of the API as plain objects (`{"type": "text", …}`).
    """

    id: Id
    type: MessageType
    date_us: DateUs
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_return: ToolReturn | None = None
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    step_id: str | None = None
    run_id: str | None = None
    is_err: bool | None = None

    @property
    def text(self) -> str:
        """What it says or what a tool returned, in plain text."""
        if self.tool_return is not None:
            return self.tool_return.tool_return
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class Block(Struct, frozen=True, omit_defaults=True):
    """A memory block; `limit` in characters, `version` grows with every edit."""

    id: str
    label: str
    value: str
    limit: int
    description: str | None = None
    read_only: bool = False
    version: int = 1


class ToolCode(Struct, frozen=True, omit_defaults=True):
    """Code of a tool that is no part of the genome, and what it may use.

    `source` is text; a binary (`wasm`, `component`) is in base64.
    `entry` is the function to call with the arguments. `grants` are the host calls it may make.
    `return_chars` bounds what the model is shown of a result; 0 leaves that to the genome.
    """

    source: str
    entry: str
    tier: Literal["restricted", "wasm", "module", "container"] = "wasm"
    grants: list[str] = []
    return_chars: int = 0
    language: Literal["python", "javascript", "wat", "wasm", "component"] = "python"


class ToolSpec(Struct, frozen=True, omit_defaults=True):
    """A tool an agent may call. `home` says who executes it.

    `bridge`: the bridge (memory and platform tools); `instance`: `code`, or without it code of the
    genome, in a sandbox of the instance.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    home: Literal["bridge", "instance"] = "bridge"
    code: ToolCode | None = None


class AgentNotes(Struct, frozen=True, omit_defaults=True):
    """What the client of an agent noted about it."""

    description: str | None = None
    tags: list[str] = []
    metadata: dict[str, Any] = {}


class AgentContext(Struct, frozen=True, omit_defaults=True):
    """Everything a step loop needs of an agent in one conversation, as of `version`.

    Without `conversation_id` it is the agent's default conversation.
    `messages` are the newest ones in order, after a summary of what came before them if there is
    one; `earlier_messages` counts those left out. `context_window` is how many tokens the model may
    be shown (0: nobody knows), `compaction` the agent's settings of how it is kept below that.
    `group_id` names its group if a sleep-time companion keeps its memory. An agent that `forgets`
    is shown no messages of earlier turns, but those that wait for an answer. `notes` are there if a
    tool of the agent may read them; they stay on the bridge.
    """

    agent_id: str
    version: int
    name: str
    agent_type: str
    system: str
    model: str
    model_settings: dict[str, Any]
    blocks: list[Block]
    tools: list[ToolSpec]
    messages: list[Message]
    earlier_messages: int = 0
    timezone: str = "UTC"
    tool_rules: list[dict[str, Any]] = []
    conversation_id: str = ""
    context_window: int = 0
    compaction: dict[str, Any] = {}
    group_id: str = ""
    forgets: bool = False
    notes: AgentNotes | None = None

    @property
    def thread_id(self) -> str:
        """What orders turns: the conversation, else the agent (its own, default conversation)."""
        return self.conversation_id or self.agent_id


class Usage(Struct, frozen=True, gc=False):
    """Token counts of a step or a turn."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
