"""What a client of OpenAI's APIs sends, as the messages of a turn.

An agent has its own history, while these clients send the whole conversation each time. So only
what follows the last reply of the assistant is new to the agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from o_platform.errors import BadInputError

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_IMAGE_PARTS = frozenset({"image_url", "input_image"})


def new_messages(messages: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a turn, from `(role, content)` of the conversation.

    Raises:
        BadInputError: nothing follows the assistant's last reply, or a part cannot be taken.
    """
    tail: list[dict[str, Any]] = []
    for role, content in messages:
        if role == "assistant":
            tail = []
        else:
            said_by = "user" if role == "user" else "system"
            tail.append({"role": said_by, "content": _content(content)})
    if not any(message["role"] == "user" for message in tail):
        raise BadInputError("the conversation must end with a message of the user")
    return tail


def _content(content: Any) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [_part(part) for part in content]


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in _TEXT_PARTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind in _IMAGE_PARTS:
        return {"type": "image", "source": _image_source(part.get("image_url"))}
    raise BadInputError(f"content parts of type {kind!r} cannot be taken; send text or images")


def _image_source(image: Any) -> dict[str, Any]:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise BadInputError("an image needs its `url`")
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, _, data = url.removeprefix("data:").partition(",")
    media_type, _, encoding = head.partition(";")
    if encoding != "base64" or not data:
        raise BadInputError("a data URL of an image must be `data:<media type>;base64,<data>`")
    return {"type": "base64", "media_type": media_type, "data": data}
