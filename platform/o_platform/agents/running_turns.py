"""The turns that have no outcome yet: they are known to the bridge alone, and asked for there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

from o_contracts.control import (
    TURNS_CANCEL,
    TURNS_LIST,
    RunningTurn,
    RunningTurns,
    TurnsCancel,
    TurnsCancelled,
    TurnsList,
)
from o_contracts.frames import FrameError, Kind, decode_body
from o_platform.agents.cache import Link
from o_platform.errors import UnavailableError

ASK_TIMEOUT_S: Final = 5.0
T = TypeVar("T")
_log = logging.getLogger(__name__)


class RunningTurnsOfBridge:
    """Asks the bridge over its control socket, on a connection per question."""

    def __init__(self, path: Path) -> None:
        """`path` is the bridge's control socket."""
        self._path = path

    async def cancel(self, agent_id: str, run_ids: Sequence[str] = ()) -> list[str]:
        """Cancel turns of the agent (of these runs, if any are named); the runs that were.

        Raises:
            UnavailableError: the bridge does not answer.
        """
        body = TurnsCancel(agent_id, list(run_ids))
        return (await self._ask(TURNS_CANCEL, body, TurnsCancelled)).run_ids

    async def list(self) -> list[RunningTurn]:
        """Every turn that runs or waits, oldest first; none while the bridge is away."""
        try:
            return (await self._ask(TURNS_LIST, TurnsList(), RunningTurns)).turns
        except UnavailableError as error:
            _log.info("no bridge, so no turn runs: %s", error.message)
            return []

    async def _ask(self, op: str, body: object, kind: type[T]) -> T:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                link = await Link.connect(self._path)
                try:
                    reply = await link.ask(op, body)
                finally:
                    link.close()
        except (OSError, TimeoutError, FrameError) as error:
            raise UnavailableError(f"the bridge does not answer ({error}); try again") from error
        if reply.kind != Kind.REPLY:
            raise UnavailableError(f"the bridge refused {op}; see `o logs bridge`")
        return decode_body(reply, kind)
