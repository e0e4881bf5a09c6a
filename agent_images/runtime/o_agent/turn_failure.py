"""Turns without an outcome: what clients are told, and whether to try again."""

from __future__ import annotations

from typing import Any, Final

from o_agent.bridge_client import BridgeError, ConnectionLost
from o_contracts import bridge
from o_contracts.messages import StopReason

DATABASE_AWAY: Final = "database_unavailable"
"""The bridge has waited for PostgreSQL for as long as it does."""
FENCED: Final = "fenced"
"""The bridge's code for a token that another attempt has replaced; opening again shows by what."""


class TurnFailed(Exception):
    """The turn has no outcome. `status`, `code` are for clients, `stop_reason` for streams."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        stop_reason: StopReason = "error",
        detail: dict[str, Any] | None = None,
    ) -> None:
        """`message` says what happened and what to do, `detail` the values in it."""
        super().__init__(message)
        self.detail = detail or {}
        self.status = status
        self.code = code
        self.message = message
        self.stop_reason = stop_reason


def stop_reason_of(code: str) -> StopReason:
    """Why a turn ended that failed with this code."""
    return "llm_api_error" if code.startswith("llm") else "error"


def is_passing(error: ConnectionLost | BridgeError) -> bool:
    """Whether the same turn may succeed in a moment, run again."""
    if isinstance(error, ConnectionLost):
        return True
    if error.body.code == FENCED:
        return True
    # Whoever calls models, or waits for the database, has tried again already.
    if error.op == bridge.LLM_COMPLETE or error.body.code == DATABASE_AWAY:
        return False
    return error.body.retryable and error.body.status == 503


def failure(error: ConnectionLost | BridgeError) -> TurnFailed:
    """What a client is told of an error of the bridge."""
    if isinstance(error, ConnectionLost):
        message = f"the platform's bridge is away ({error}); try again"
        return TurnFailed(503, "bridge_unavailable", message)
    body = error.body
    return TurnFailed(body.status, body.code, body.message, stop_reason_of(body.code), body.detail)
