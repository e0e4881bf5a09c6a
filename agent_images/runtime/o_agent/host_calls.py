"""The way of one tool call to the platform: host calls over the bridge, numbered.

Numbers are the same in every attempt of a turn, also where tools run side by side: each tool call
has a range of its own, and a tool makes its host calls one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from o_agent.turn_frame import TurnFrame
from o_contracts import bridge
from o_contracts.messages import Block
from o_sandbox.circumstances import Circumstances
from o_sandbox.protocol import HostCallError

RANGE: Final = 1000
"""Numbers of one tool call; more host calls than its limit allows."""
_decoder: Final = msgspec.msgpack.Decoder(bridge.HostCallResult)


class HostCalls:
    """Host calls of one tool call; see `tool_runner.HostCalls`."""

    __slots__ = ("_blocks", "_frame", "_number", "_seq")

    def __init__(self, frame: TurnFrame, number: int, blocks: list[Block]) -> None:
        """`number` counts the turn's sandboxed calls; `blocks` gets what they change."""
        self._frame = frame
        self._number = number
        self._seq = number * RANGE
        self._blocks = blocks

    async def circumstances(self, tool: str) -> Circumstances | None:
        """Chance and time for a tool, the same in every attempt; None where the bridge has none.

        Raises:
            ConnectionLost, BridgeError: the bridge failed.
        """
        frame = self._frame
        seq = self._number * RANGE + RANGE - 1
        request = bridge.HostCallRequest(frame.token, frame.run_id, seq, tool, bridge.START, "{}")
        answer = await frame.bridge.ask(bridge.HOST_CALL, request, _decoder)
        if answer.outcome != "ok":  # a bridge of an earlier version
            return None
        start = msgspec.json.decode(answer.value, type=bridge.Start)
        seed = blake2b(bytes.fromhex(start.seed), salt=self._number.to_bytes(8, "big")).digest()
        return Circumstances(seed, start.now_ns)

    async def __call__(self, tool: str, name: str, arguments: Mapping[str, Any]) -> Any:
        """Use a capability for a tool.

        Raises:
            HostCallError: it was refused, or failed.
            ConnectionLost, BridgeError: the bridge failed.
        """
        frame = self._frame
        encoded = msgspec.json.encode(arguments).decode()
        request = bridge.HostCallRequest(frame.token, frame.run_id, self._seq, tool, name, encoded)
        self._seq += 1
        answer = await frame.bridge.ask(bridge.HOST_CALL, request, _decoder)
        self._blocks += answer.blocks
        if answer.outcome != "ok":
            raise HostCallError(answer.error)
        return msgspec.json.decode(answer.value)
