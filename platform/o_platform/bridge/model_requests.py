"""Reading `llm.complete` requests, the largest that instances send.

Half of one are its tools, as a rule the same as in thousands of requests before. So those are read
once: their bytes name what was read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from o_contracts.llm import LlmRequest, LlmTool
from o_platform.bridge.lru import Lru

KNOWN_LISTS: Final = 64
LONGEST_KNOWN: Final = 64 * 1024
"""Bytes of a list of tools that is remembered."""


class _Sent(LlmRequest, frozen=True):
    """A request with its tools unread."""

    tools: msgspec.Raw = msgspec.Raw(b"\x90")  # type: ignore[assignment]


_requests: Final = msgspec.msgpack.Decoder(_Sent)
_tools: Final = msgspec.msgpack.Decoder(list[LlmTool])


class ModelRequests:
    """Decodes requests; remembers the lists of tools that came last."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Knows none."""
        self._known: Lru[bytes, list[LlmTool]] = Lru(KNOWN_LISTS)

    def decode(self, body: msgspec.Raw) -> LlmRequest:
        """The request; equal lists of tools are one, which nobody may change.

        Raises:
            msgspec.MsgspecError: it is none.
        """
        model, messages, tools, *rest = msgspec.structs.astuple(_requests.decode(body))
        return LlmRequest(model, messages, self._read(bytes(tools)), *rest)

    def _read(self, encoded: bytes) -> list[LlmTool]:
        tools = self._known.get(encoded)
        if tools is None:
            tools = _tools.decode(encoded)
            if len(encoded) <= LONGEST_KNOWN:
                self._known.put(encoded, tools)
        return tools
