"""Calls and replies as the chat-completions protocol writes them."""

from __future__ import annotations

from typing import Any

from o_contracts.llm import LlmMessage, LlmRequest, LlmResult, LlmTool
from o_contracts.messages import ToolCall, Usage


def chat_request(request: LlmRequest) -> dict[str, Any]:
    """The body of a request."""
    body: dict[str, Any] = {
        "model": request.model.partition("/")[2],
        "messages": [chat_message(message) for message in request.messages],
        **request.settings,
    }
    if request.tools:
        body["tools"] = [chat_tool(tool) for tool in request.tools]
    return body | ({"stream": True} if request.stream else {})


def chat_response(result: LlmResult) -> dict[str, Any]:
    """The body of a reply that was not streamed."""
    said: dict[str, Any] = {"role": "assistant", "content": result.text or None}
    if result.tool_calls:
        said["tool_calls"] = [chat_call(call) for call in result.tool_calls]
    if result.reasoning:
        said["reasoning_content"] = result.reasoning
    return {
        "object": "chat.completion",
        "model": result.model.partition("/")[2],
        "choices": [{"index": 0, "finish_reason": result.finish_reason, "message": said}],
        "usage": chat_usage(result.usage),
    }


def chat_message(message: LlmMessage) -> dict[str, Any]:
    """A message of a request."""
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = [chat_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    return body


def chat_tool(tool: LlmTool) -> dict[str, Any]:
    """A tool that is offered."""
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def chat_call(call: ToolCall) -> dict[str, Any]:
    """A call of a tool."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.tool_call_id, "type": "function", "function": function}


def chat_usage(usage: Usage) -> dict[str, int]:
    """Token counts."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
