"""Messages as they are stored: their body sealed, beside it what queries have to see of them."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Struct

from o_contracts.messages import Message
from o_platform.db.sealed_columns import MESSAGE_BODY
from o_platform.db.sealing import Vault

NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""The NUL character in JSON, with the backslashes before it that stand for themselves."""
_encoder = msgspec.json.Encoder()


class StoredMessage(Struct, frozen=True):
    """A message as a batch of turns writes it; `body` is sealed."""

    id: str
    type: str
    body: str
    tool: str | None = None


def stored_message(vault: Vault, message: Message) -> StoredMessage:
    """The message, sealed."""
    encoded = _encoder.encode(message)
    if b"\\u0000" in encoded:
        # The API promises text without NUL; a turn must not be lost for it.
        encoded = NUL.sub(rb"\1\\ufffd", encoded)
    body = vault.seal(encoded.decode(), MESSAGE_BODY.place(message.id))
    tool = message.tool_calls[0].name if message.tool_calls else message.name
    return StoredMessage(message.id, message.type, body, tool)
