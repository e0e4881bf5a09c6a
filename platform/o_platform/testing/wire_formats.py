"""One reply in the wire formats of OpenAI, Anthropic and Ollama, whole and in stream chunks."""

from __future__ import annotations

import json
import math
import re
import zlib
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says. `tool_calls` are (name, JSON arguments); usage None: none is reported.

    `delay_s` passes before the first byte, `gap_s` after each chunk of a stream.
    """

    text: str = "hello from the test server"
    tool_calls: tuple[tuple[str, str], ...] = ()
    reasoning: str = ""
    usage: tuple[int, int] | None = (11, 7)
    finish_reason: str | None = None
    delay_s: float = 0.0
    gap_s: float = 0.0

    @property
    def finish(self) -> str:
        """The finish reason, in OpenAI's words."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")


def stream_type(path: str) -> str:
    """Content type of a streamed answer."""
    return "application/x-ndjson" if path.endswith("/api/chat") else "text/event-stream"


def error(message: str) -> JsonObject:
    """An error body that all three protocols understand."""
    return {"type": "error", "error": {"message": message, "type": "error", "code": None}}


def model_list(path: str, models: tuple[str, ...]) -> JsonObject:
    """The models end point's answer."""
    if path.endswith("/api/tags"):
        return {"models": [{"name": name, "model": name} for name in models]}
    rows = [{"id": name, "object": "model", "max_model_len": 65536} for name in models]
    return {"object": "list", "data": rows}


def whole(path: str, request: JsonObject, reply: Reply) -> JsonObject:
    """The reply in one piece."""
    if path.endswith("/embeddings"):
        return _embeddings(request, reply)
    if path.endswith("/messages"):
        return _anthropic(request, reply)
    if path.endswith("/api/chat"):
        return _ollama(request, reply.text, reply, done=True)
    message: JsonObject = {"role": "assistant", "content": reply.text or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [_openai_call(n, *call) for n, call in enumerate(reply.tool_calls)]
    choice = {"index": 0, "message": message, "finish_reason": reply.finish}
    extra = {"service_tier": "default"} | _openai_usage(reply)
    return _openai(request, "chat.completion", [choice]) | extra


def chunks(path: str, request: JsonObject, reply: Reply) -> list[str]:
    """The reply in pieces, ready to be sent."""
    if path.endswith("/messages"):
        return [
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
            for event in _anthropic_events(request, reply)
        ]
    if path.endswith("/api/chat"):
        pieces = [_ollama(request, word, None, done=False) for word in _words(reply.text)]
        return [
            json.dumps(piece) + "\n" for piece in [*pieces, _ollama(request, "", reply, done=True)]
        ]
    events = [json.dumps(event) for event in _openai_events(request, reply)]
    return [f"data: {event}\n\n" for event in [*events, "[DONE]"]]


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + [text.rsplit(" ", 1)[-1]]


def _openai(request: JsonObject, kind: str, choices: list[JsonObject]) -> JsonObject:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1,
        "model": request.get("model", ""),
        "choices": choices,
    }


def _openai_usage(reply: Reply) -> JsonObject:
    if reply.usage is None:
        return {}
    prompt, completion = reply.usage
    return {
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    }


def _openai_call(index: int, name: str, arguments: str) -> JsonObject:
    return {
        "index": index,
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _openai_events(request: JsonObject, reply: Reply) -> list[JsonObject]:
    deltas: list[JsonObject] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": word} for word in _words(reply.reasoning) if word]
    deltas += [{"content": word} for word in _words(reply.text) if word]
    for index, (name, arguments) in enumerate(reply.tool_calls):
        deltas.append({"tool_calls": [_openai_call(index, name, "")]})
        for half in (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
    choices: list[JsonObject] = [
        {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": reply.finish})
    events = [_openai(request, "chat.completion.chunk", [choice]) for choice in choices]
    if reply.usage is not None:
        events.append(_openai(request, "chat.completion.chunk", []) | _openai_usage(reply))
    return events


def _anthropic_stop(reply: Reply) -> str:
    return {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}[reply.finish]


def _anthropic_blocks(reply: Reply) -> list[JsonObject]:
    blocks: list[JsonObject] = [{"type": "text", "text": reply.text}] if reply.text else []
    for index, (name, arguments) in enumerate(reply.tool_calls):
        call = {"id": f"toolu_{index}", "name": name, "input": json.loads(arguments)}
        blocks.append({"type": "tool_use"} | call)
    return blocks


def _anthropic(request: JsonObject, reply: Reply) -> JsonObject:
    prompt, completion = reply.usage or (0, 0)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", ""),
        "content": _anthropic_blocks(reply),
        "stop_reason": _anthropic_stop(reply),
        "stop_sequence": None,
        "usage": {"input_tokens": prompt, "output_tokens": completion},
    }


def _anthropic_events(request: JsonObject, reply: Reply) -> list[JsonObject]:
    prompt, completion = reply.usage or (0, 0)
    start = _anthropic(request, Reply("", usage=(prompt, 0))) | {"content": [], "stop_reason": None}
    events: list[JsonObject] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(_anthropic_blocks(reply)):
        events += _anthropic_block_events(index, block)
    stop = {"stop_reason": _anthropic_stop(reply), "stop_sequence": None}
    usage = {"output_tokens": completion}
    events.append({"type": "message_delta", "delta": stop, "usage": usage})
    return [*events, {"type": "message_stop"}]


def _anthropic_block_events(index: int, block: JsonObject) -> list[JsonObject]:
    if block["type"] == "text":
        empty: JsonObject = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": word} for word in _words(block["text"])]
    else:
        empty = block | {"input": {}}
        text = json.dumps(block["input"])
        deltas = [
            {"type": "input_json_delta", "partial_json": part} for part in (text[:5], text[5:])
        ]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _ollama(request: JsonObject, text: str, reply: Reply | None, *, done: bool) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": text}
    body: JsonObject = {
        "model": request.get("model", ""),
        "created_at": "2026-01-01T00:00:00Z",
        "done": done,
    }
    if reply is not None:
        prompt, completion = reply.usage or (0, 0)
        body |= {"done_reason": "stop", "prompt_eval_count": prompt, "eval_count": completion}
        if reply.tool_calls:
            message["tool_calls"] = [
                {"function": {"name": name, "arguments": json.loads(arguments)}}
                for name, arguments in reply.tool_calls
            ]
    return body | {"message": message}


def _embeddings(request: JsonObject, reply: Reply) -> JsonObject:
    """Vectors of as many numbers as the model's name ends with (`embed-2048`), else of 8."""
    size = request["model"].rpartition("-")[2]
    dimensions = int(size) if size.isdecimal() else 8
    texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
    rows = [
        {"object": "embedding", "index": index, "embedding": _vector(text, dimensions)}
        for index, text in enumerate(texts)
    ]
    listed = {"object": "list", "data": rows, "model": request["model"]}
    return listed | {"usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)}}


def _vector(text: str, dimensions: int) -> list[float]:
    """Texts with the same words are alike."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        vector[zlib.crc32(word.encode()) % dimensions] += 1.0
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return [number / length for number in vector]
