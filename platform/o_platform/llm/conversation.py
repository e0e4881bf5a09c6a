"""What a script can ask about a conversation: who said what last, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass

from o_contracts.llm import LlmMessage, LlmRequest
from o_platform.llm.tokens import text_of


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request's messages, read from the end.

    Attributes:
        user: the last user text.
        system: every system text, joined by newlines.
        tool_result: the last tool result since the last reply; empty if there is none.
        tool: the name of the tool it came from; empty if there is none.
        ends_with_tool: whether the model is to answer a tool's result.
        offers: names of the tools the model may call.
        turn: number of user messages.
        step: number of replies since the last user message.
    """

    user: str
    system: str
    tool_result: str
    tool: str
    ends_with_tool: bool
    offers: frozenset[str]
    turn: int
    step: int

    def values(self) -> dict[str, str]:
        """The predefined values of templates."""
        return {
            "user": self.user,
            "system": self.system,
            "tool_result": self.tool_result,
            "turn": str(self.turn),
            "step": str(self.step),
        }


def read_conversation(request: LlmRequest) -> Conversation:
    """`request` as a script sees it."""
    messages = request.messages
    users = [n for n, message in enumerate(messages) if message.role == "user"]
    last_user = users[-1] if users else -1
    last = messages[-1] if messages else None
    ends_with_tool = last is not None and last.role == "tool"
    return Conversation(
        user=text_of(messages[last_user]) if users else "",
        system="\n".join(text_of(message) for message in messages if message.role == "system"),
        tool_result=text_of(last) if ends_with_tool else "",
        tool=_tool_name(messages) if ends_with_tool else "",
        ends_with_tool=ends_with_tool,
        offers=frozenset(tool.name for tool in request.tools),
        turn=len(users),
        step=sum(message.role == "assistant" for message in messages[last_user + 1 :]),
    )


def _tool_name(messages: list[LlmMessage]) -> str:
    result = messages[-1]
    if result.name:
        return result.name
    for message in reversed(messages[:-1]):
        for call in message.tool_calls or ():
            if call.tool_call_id == result.tool_call_id:
                return call.name
    return ""
