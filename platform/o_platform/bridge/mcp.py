"""Calls of MCP tools in turns: made once, by stable and canary turns alone.

What a call came to is in the turn's journal before the turn goes on, so another attempt gets the
same; a shadow gets the original's, a bench has nobody to ask.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from psycopg import AsyncConnection

from o_contracts.bridge import ToolCallRequest, ToolCallResult
from o_contracts.messages import ToolReturn
from o_platform.agents.mcp_repository import McpTarget, find_target
from o_platform.bridge.host_calls import known_result
from o_platform.bridge.journal import keep
from o_platform.bridge.memo import digest_tool
from o_platform.bridge.postgres import Postgres
from o_platform.bridge.records import Records
from o_platform.bridge.turn import Turn
from o_platform.db.sealing import Vault
from o_platform.tooling.mcp_client import McpError, McpResult
from o_platform.tooling.mcp_sessions import McpSessions
from o_tools.errors import ToolError

_WAIT_S: Final = 10.0


class McpCalls:
    """Answers calls of tools whose home is an MCP server."""

    def __init__(self, postgres: Postgres, vault: Vault, sessions: McpSessions) -> None:
        """`vault` seals results and opens how servers are reached; `sessions` reach them."""
        self._postgres = postgres
        self._vault = vault
        self._sessions = sessions

    async def call(self, turn: Turn, records: Records, request: ToolCallRequest) -> ToolCallResult:
        """Call the tool, or answer what it was answered before.

        Raises:
            ToolError: the arguments are no object, or its server failed.
            DatabaseUnavailableError: the result cannot be kept now.
        """
        digest = digest_tool(request.name, request.arguments)
        known = await known_result(
            records.paid(turn), turn.memo, "tool", request.seq, digest, McpResult
        )
        if known is None:
            if not turn.opening.caller.is_durable:
                raise ToolError(f"{request.name}: nothing outside is reached from here")
            known = await self._fresh(turn, request)
            await keep(self._postgres, self._vault, turn, "tool", request.seq, digest, known)
        status: Literal["success", "error"] = "error" if known.is_error else "success"
        return ToolCallResult(ToolReturn(request.tool_call_id, status, known.text))

    async def _fresh(self, turn: Turn, request: ToolCallRequest) -> McpResult:
        arguments = _arguments(request)
        target = await self._target(turn.agent_id, request.name)
        try:
            return await self._sessions.call(target, arguments)
        except McpError as error:
            raise ToolError(error.message) from error

    async def _target(self, agent_id: str, name: str) -> McpTarget:
        async def read(connection: AsyncConnection) -> McpTarget | None:
            return await find_target(connection, self._vault, agent_id, name)

        target = await self._postgres.run(read, wait_s=_WAIT_S)
        if target is None:
            raise ToolError(f"the tool {name!r} was taken from this agent")
        return target


def _arguments(request: ToolCallRequest) -> dict[str, Any]:
    try:
        return msgspec.json.decode(request.arguments or "{}", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ToolError(f"the arguments of {request.name} are no JSON object: {error}") from None
