"""Background runs as the control plane sees them: begun, found, cancelled before they are sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.bridge import TurnOpen
from o_contracts.ids import new_id
from o_platform.agents import background_repository as repository
from o_platform.agents.past_runs import REPEAT_WINDOW_S
from o_platform.agents.request_keys import request_key
from o_platform.agents.service import existing_agent
from o_platform.agents.turn_client import Sender
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import BackgroundRun, Run

REPEAT_WINDOW: Final = timedelta(seconds=REPEAT_WINDOW_S)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A turn to run in the background. `body` is that of the turn, as JSON takes it."""

    agent_id: str
    body: dict[str, Any]
    otids: Sequence[str]
    callback_url: str | None = None


class BackgroundService:
    """Begins background runs, and knows those that nobody has begun to execute."""

    def __init__(self, database: Database) -> None:
        """Runs are executed by whoever finds them in the database."""
        self._database = database

    async def begin(self, wanted: NewRun, sender: Sender) -> BackgroundRun | Run:
        """A run for this turn; the same one if the request is repeated.

        Raises:
            NotFoundError: there is no such agent.
        """
        sent = wanted.body | {"streaming": True, "background": True}
        text = json.dumps(sent, ensure_ascii=False)
        run_id = new_id("run")
        request_id = sender.request_id or run_id
        digest = hashlib.sha256(text.encode()).hexdigest()
        named = TurnOpen(wanted.agent_id, request_id, digest, otids=list(wanted.otids))
        values = {
            "run_id": run_id, "agent_id": wanted.agent_id, "request_key": request_key(named),
            "request_id": request_id, "client": sender.client, "body": text, "body_digest": digest,
            "callback_url": wanted.callback_url,
        }  # fmt: skip

        async def change(session: AsyncSession) -> BackgroundRun | Run:
            await existing_agent(session, wanted.agent_id)
            earlier = await _earlier(session, values, is_retry=sender.sdk_retry > 0)
            return earlier or await repository.add_run(session, values)

        return await in_unit(self._database, change)

    async def cancel(
        self, agent_id: str, run_ids: Sequence[str], *, besides: Collection[str]
    ) -> list[str]:
        """End runs of the agent (these, if any are named) that were not sent yet; returns them.

        `besides` are those that the bridge knows.
        """

        async def change(session: AsyncSession) -> list[str]:
            rows = await repository.open_runs(session, [agent_id])
            return [
                row.run_id
                for row in rows
                if (not run_ids or row.run_id in run_ids)
                and row.run_id not in besides
                and await repository.end_run(session, row, "cancelled")
            ]

        return await in_unit(self._database, change)


async def _earlier(
    session: AsyncSession, values: dict[str, Any], *, is_retry: bool
) -> BackgroundRun | Run | None:
    agent_id = values["agent_id"]
    ended = await repository.find_run(session, agent_id, values["request_key"])
    if ended is not None or not is_retry or values["request_key"].startswith("otid:"):
        return ended
    return await repository.find_repeated(
        session, agent_id, values["client"], values["body_digest"], REPEAT_WINDOW
    )
