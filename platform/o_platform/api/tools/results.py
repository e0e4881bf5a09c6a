"""Outcomes of sandboxes as the API shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

from o_platform.api.tools.schemas import ToolExecution, ToolReturnMessageState, ToolReturnState
from o_platform.tooling.mcp_client import McpResult
from o_sandbox.outcome import Outcome


def return_message(outcome: Outcome, name: str | None) -> ToolReturnMessageState:
    """As a tool return message."""
    state = ToolReturnState(
        tool_return=_text(outcome.value) if outcome.is_ok else outcome.error or outcome.reason,
        status="success" if outcome.is_ok else "error",
        stdout=outcome.stdout.splitlines(),
        stderr=outcome.stderr.splitlines(),
    )
    return ToolReturnMessageState(
        date=datetime.now(UTC),
        name=name,
        tool_returns=[state],
        **state.model_dump(exclude={"type", "tool_call_id"}),
    )


def execution(outcome: Outcome) -> ToolExecution:
    """As the result of running an agent's tool."""
    return ToolExecution(
        status="success" if outcome.is_ok else "error",
        func_return=outcome.value if outcome.is_ok else outcome.error or outcome.reason,
        stdout=outcome.stdout.splitlines(),
        stderr=outcome.stderr.splitlines(),
    )


def mcp_execution(result: McpResult) -> ToolExecution:
    """What a tool of an MCP server came to, as the result of running it."""
    status: Literal["success", "error"] = "error" if result.is_error else "success"
    return ToolExecution(status=status, func_return=result.text, stdout=[], stderr=[])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
