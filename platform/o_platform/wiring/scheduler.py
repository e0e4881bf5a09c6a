"""Runs scheduled turns when they are due.

Each run is named by its schedule and the time it was due, and sent through Envoy like any turn. A
control plane that dies after sending it sends it again under the same name, and the bridge answers
that from the turn's record: it runs once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from o_platform.agents import schedule_repository as repository
from o_platform.agents.schedules import following_time, retry_time
from o_platform.agents.turn_client import Sender, TurnClient, TurnRefusedError
from o_platform.clock import Clock
from o_platform.db.engine import CHANNEL_SCHEDULES, Database
from o_platform.db.hearing import Hearing
from o_platform.db.models import Schedule
from o_platform.errors import UnavailableError

LOOK_S: Final = 30.0
"""How often to look when nothing is announced and nothing is due before."""
AT_ONCE: Final = 16
"""Scheduled turns under way at the same time."""
_log = logging.getLogger(__name__)


class Scheduler:
    """Sends what is due."""

    def __init__(
        self, database: Database, hearing: Hearing, turns: TurnClient, clock: Clock
    ) -> None:
        """`turns` reaches the agents."""
        self._database = database
        self._hearing = hearing
        self._turns = turns
        self._clock = clock

    async def run(self) -> None:
        """Look and send until cancelled."""
        with self._hearing.subscribed(CHANNEL_SCHEDULES) as news:
            while True:
                due = await self._due()
                if due:
                    await self._run_all(due)
                else:
                    await news.wait(await self._pause_s())

    async def _due(self) -> Sequence[Schedule]:
        async with self._database.unit_of_work() as session:
            return await repository.due_schedules(session, self._clock.now(), AT_ONCE)

    async def _pause_s(self) -> float:
        async with self._database.unit_of_work() as session:
            following = await repository.next_due(session)
        if following is None:
            return LOOK_S
        return min(LOOK_S, max(0.0, (following - self._clock.now()).total_seconds()))

    async def _run_all(self, due: Sequence[Schedule]) -> None:
        async with asyncio.TaskGroup() as runs:
            for schedule in due:
                runs.create_task(self._run(schedule))

    async def _run(self, schedule: Schedule) -> None:
        sender = Sender("schedule", f"{schedule.id}:{schedule.runs}")
        try:
            await self._turns.send(schedule.agent_id, schedule.turn, sender)
        except (UnavailableError, TurnRefusedError) as error:
            extra = {"schedule_id": schedule.id}
            _log.warning("a scheduled turn failed: %s", error.message, extra=extra)
            await self._record_failure(schedule, error)
        else:
            await self._record_end(schedule, None)

    async def _record_failure(
        self, schedule: Schedule, error: UnavailableError | TurnRefusedError
    ) -> None:
        now = self._clock.now()
        again = retry_time(schedule.tries + 1, now) if _is_passing(error) else None
        if again is None:
            await self._record_end(schedule, error.message)
            return
        async with self._database.unit_of_work() as session:
            await repository.record_try(session, schedule, now, error.message, again)

    async def _record_end(self, schedule: Schedule, error: str | None) -> None:
        now = self._clock.now()
        following = following_time(schedule.rule, now)
        async with self._database.unit_of_work() as session:
            await repository.record_end(session, schedule, now, error, following)


def _is_passing(error: UnavailableError | TurnRefusedError) -> bool:
    return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status in {
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
