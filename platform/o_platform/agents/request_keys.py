"""The name of a request among its agent's: the same one is one turn, however often it is sent."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from o_contracts.bridge import TurnOpen
from o_contracts.ids import is_conversation

_LONGEST_NAME: Final = 200


def request_key(request: TurnOpen) -> str:
    """The request's name among its agent's: its OTIDs if it has any, else its request id."""
    thread = f"{request.agent_id}/" if is_conversation(request.agent_id) else ""
    if request.otids:
        return _short(f"{thread}otid:" + "|".join(request.otids))
    return _short(f"{thread}request:" + request.request_id)


def _short(name: str) -> str:
    name = name.replace("\0", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL does not store NUL.
    if len(name) <= _LONGEST_NAME:
        return name
    return "hash:" + blake2b(name.encode(), digest_size=32).hexdigest()
