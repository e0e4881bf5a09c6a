"""`POST /v1/chat/completions`: a turn of the agent whose id is the `model`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from o_contracts.ids import new_id
from o_platform.agents.turn_client import Sender, TurnClient, TurnRefusedError
from o_platform.api.deps import SenderDep, TurnsDep
from o_platform.api.fields import AgentId, Input, Str
from o_platform.api.openai import replies
from o_platform.api.openai.errors import OpenAiRoute, error_body
from o_platform.api.openai.inputs import new_messages
from o_platform.api.openai.streams import started
from o_platform.errors import BadInputError, OError

router = APIRouter(prefix="/v1/chat", tags=["openai"], route_class=OpenAiRoute)
MAX_MESSAGES = 10_000


class ChatMessage(Input):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Str | list[dict[str, Any]] | None = None


class StreamOptions(Input):
    """What a stream ends with."""

    include_usage: bool = False


class ChatRequest(Input):
    """What is acted on; sampling parameters are the agent's own and ignored here."""

    model: AgentId = Field(description="the id of an agent")
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1)
    tools: list[dict[str, Any]] | None = None

    def turn(self) -> dict[str, Any]:
        """The body of the turn.

        Raises:
            BadInputError: it asks for what an agent cannot do.
        """
        if self.tools:
            raise BadInputError("an agent has its own tools; attach them to it instead of `tools`")
        if (self.n or 1) > 1:
            raise BadInputError("an agent gives one reply to a turn; leave `n` out")
        said = [(m.role, m.content or "") for m in self.messages if m.role != "tool"]
        return {"messages": new_messages(said)}


@router.post("/completions", response_model=None)
async def create_chat_completion(body: ChatRequest, turns: TurnsDep, sender: SenderDep) -> Response:
    """Run a turn of an agent; only what follows the last reply in `messages` is new to it."""
    turn = body.turn()
    if body.stream:
        events = _Stream(body).events(turns, turn, sender)
        return await started(events)
    reply = replies.reply_of(await turns.send(body.model, turn, sender))
    return JSONResponse(_completion(body.model, reply))


def _completion(model: str, reply: replies.Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "length" if reply.is_cut else "stop",
        "logprobs": None,
    }
    return {
        "id": f"chatcmpl-{replies.bare(reply.run_id)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": _usage(reply.usage),
    }


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["cached_input_tokens"] or 0},
        "completion_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"] or 0},
    }


class _Stream:
    """The events of one streamed turn, as chunks of a chat completion."""

    def __init__(self, body: ChatRequest) -> None:
        self._model = body.model
        self._wants_usage = body.stream_options is not None and body.stream_options.include_usage
        self._id = f"chatcmpl-{new_id('run').removeprefix('run-')}"
        self._created = int(time.time())

    async def events(
        self, turns: TurnClient, turn: dict[str, Any], sender: Sender
    ) -> AsyncIterator[bytes]:
        async with turns.stream(self._model, turn | {"stream_tokens": True}, sender) as events:
            yield self._chunk({"role": "assistant", "content": ""})
            try:
                async for event in events:
                    for chunk in self._chunks(event):
                        yield chunk
            except (OError, TurnRefusedError) as error:
                yield _event(error_body(error))
        yield b"data: [DONE]\n\n"

    def _chunks(self, event: dict[str, Any]) -> list[bytes]:
        failure = replies.failure_of(event)
        if failure is not None:
            raise failure
        field, text = replies.piece_of(event)
        if text:
            name = "content" if field == "content" else "reasoning_content"
            return [self._chunk({name: text})]
        if event.get("message_type") == "stop_reason" and event["stop_reason"] != "error":
            reason = "length" if replies.is_cut(event["stop_reason"]) else "stop"
            return [self._chunk({}, reason)]
        if event.get("message_type") == "usage_statistics" and self._wants_usage:
            return [_event(self._body([]) | {"usage": _usage(event)})]
        return []

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return _event(self._body([choice]))

    def _body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"
