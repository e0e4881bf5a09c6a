"""Turn requests: parsed, checked, and refused in the form that clients of FastAPI servers know.

A refusal is `{"detail": [{"loc": ["body", "messages", 0, "role"], "msg": …, "type": …}]}` with
status 422; `loc` leads to the field.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from o_agent.compaction import CompactionSettings
from o_contracts.turns import (
    REFUSED_FIELDS,
    Answer,
    CompactionRequest,
    ContentPart,
    InputMessage,
    TurnRequest,
)

_AT = re.compile(r" - at `(?:key in )?\$?(.*)`$")
_PATH_PIECE = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]|\[\.\.\.\]")
_MISSING = re.compile(r"^Object missing required field `(\w+)`")
_decoder = msgspec.json.Decoder(TurnRequest)
_compaction_decoder = msgspec.json.Decoder(CompactionRequest)
_NUL: Final = "A NUL character cannot be part of an id"
_PARTS: Final = (
    "text",
    "image",
    "tool_call",
    "tool_return",
    "reasoning",
    "redacted_reasoning",
    "omitted_reasoning",
    "summarized_reasoning",
)
"""The API's content parts; all are kept, the model is shown the first two (`llm_messages`)."""
_SOURCES: Final = {
    "url": ("url",),
    "base64": ("media_type", "data"),
    "letta": ("media_type", "data"),
}
"""What an image's source needs here, by its type; there is no store of files to look into."""

_TYPES: Final = (
    (re.compile(r"^Expected `array` of length >="), "too_short"),
    (re.compile(r"^Expected `array` of length <="), "too_long"),
    (re.compile(r"^Expected `int` >="), "greater_than_equal"),
    (re.compile(r"^Expected `int` <="), "less_than_equal"),
    (re.compile(r"^Invalid enum value"), "literal_error"),
    (re.compile(r"^Expected `int\b"), "int_type"),
    (re.compile(r"^Expected `bool\b"), "bool_type"),
    (re.compile(r"^Expected `str \| array"), "string_or_list_type"),
    (re.compile(r"^Expected `str\b"), "string_type"),
    (re.compile(r"^Expected `array\b"), "list_type"),
    (re.compile(r"^Expected `object\b"), "dict_type"),
)


class NotOffered(Exception):
    """The request asks for something that the API has and this server does not: 501."""


class InvalidRequest(Exception):
    """The request is refused with 422; `problems` is the `detail` of the answer."""

    def __init__(self, loc: list[str | int], message: str, kind: str) -> None:
        """One problem, at `loc`."""
        super().__init__(message)
        self.problems: list[dict[str, Any]] = [{"loc": loc, "msg": message, "type": kind}]


def parse_turn(body: bytes) -> TurnRequest:
    """The request in a body.

    Raises:
        InvalidRequest: malformed JSON, a wrong type, a value out of range, or no message at all.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(["body"], f"JSON decode error: {error}", "json_invalid") from error
    _check_one_input(request)
    if request.return_logprobs or request.return_token_ids or request.top_logprobs:
        raise NotOffered(
            f"{', '.join(REFUSED_FIELDS)} are not offered: the models' tokens are not passed on"
        )
    return request


def parse_compaction(body: bytes) -> CompactionRequest:
    """The request in the body of a compaction; an empty one asks for nothing special.

    Raises:
        InvalidRequest: malformed JSON, a wrong type, or settings that there are not.
    """
    try:
        request = _compaction_decoder.decode(body or b"{}")
        msgspec.convert(_given(request.compaction_settings), CompactionSettings)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(["body"], f"JSON decode error: {error}", "json_invalid") from error
    return request


def _given(settings: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (settings or {}).items() if value is not None}


def input_messages(request: TurnRequest) -> list[InputMessage]:
    """What the client says, `input` being short for one user message."""
    if request.messages is not None:
        return request.messages
    return [InputMessage(request.input or "")]


def _check_one_input(request: TurnRequest) -> None:
    if request.messages is not None:
        if request.input is not None:
            raise InvalidRequest(["body", "input"], "Give messages or input, not both", "conflict")
        for index, message in enumerate(request.messages):
            if message.is_answer:
                _check_answer(message, ["body", "messages", index])
            elif message.content is None:
                loc: list[str | int] = ["body", "messages", index, "content"]
                raise InvalidRequest(loc, "Field required", "missing")
            elif type(message.content) is not str:
                _check_parts(message.content, ["body", "messages", index, "content"])
            if message.otid is not None and "\0" in message.otid:
                raise InvalidRequest(["body", "messages", index, "otid"], _NUL, "value_error")
    elif request.input is None:
        raise InvalidRequest(["body", "messages"], "Field required", "missing")
    elif type(request.input) is not str:
        _check_parts(request.input, ["body", "input"])


def _check_answer(message: InputMessage, loc: list[str | int]) -> None:
    if message.type == "tool_return":
        if not message.tool_returns:
            raise InvalidRequest([*loc, "tool_returns"], "Field required", "missing")
        for index, answer in enumerate(message.tool_returns):
            _check_return(answer, [*loc, "tool_returns", index])
        return
    if not message.approvals and message.approve is None:
        raise InvalidRequest([*loc, "approvals"], "Field required", "missing")
    for index, answer in enumerate(message.approvals or ()):
        if answer.is_return:
            _check_return(answer, [*loc, "approvals", index])
        elif answer.approve is None:
            raise InvalidRequest([*loc, "approvals", index, "approve"], "Field required", "missing")


def _check_return(answer: Answer, loc: list[str | int]) -> None:
    answer.type = "tool"
    if answer.tool_return is None:
        raise InvalidRequest([*loc, "tool_return"], "Field required", "missing")
    if isinstance(answer.tool_return, list):
        _check_parts(answer.tool_return, [*loc, "tool_return"])


def _check_parts(parts: str | list[ContentPart], loc: list[str | int]) -> None:
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if not isinstance(kind, str):
            raise InvalidRequest([*loc, index, "type"], "Field required", "missing")
        if kind not in _PARTS:
            known = ", ".join(_PARTS)
            message = f"Expected one of these types: {known}"
            raise InvalidRequest([*loc, index, "type"], message, "literal_error")
        if kind == "text" and not isinstance(part.get("text"), str):
            raise InvalidRequest([*loc, index, "text"], "Expected `str`", "string_type")
        if kind == "image":
            _check_source(part.get("source"), [*loc, index, "source"])


def _check_source(source: Any, loc: list[str | int]) -> None:
    if not isinstance(source, dict):
        raise InvalidRequest(loc, "Expected `object`", "dict_type")
    needed = _SOURCES.get(str(source.get("type")))
    if needed is None:
        message = f"Expected one of these types: {', '.join(_SOURCES)}"
        raise InvalidRequest([*loc, "type"], message, "literal_error")
    for name in needed:
        if not isinstance(source.get(name), str):
            raise InvalidRequest([*loc, name], "Expected `str`", "string_type")


def _invalid_field(text: str) -> InvalidRequest:
    match = _AT.search(text)
    message = text[: match.start()] if match else text
    loc: list[str | int] = ["body", *_location(match.group(1) if match else "")]
    missing = _MISSING.match(message)
    if missing:
        return InvalidRequest([*loc, missing.group(1)], "Field required", "missing")
    return InvalidRequest(loc, message, _kind(message))


def _location(path: str) -> list[str | int]:
    loc: list[str | int] = []
    for name, index in _PATH_PIECE.findall(path):
        if name:
            loc.append(name)
        elif index:
            loc.append(int(index))
    return loc


def _kind(message: str) -> str:
    return next((kind for pattern, kind in _TYPES if pattern.match(message)), "value_error")
