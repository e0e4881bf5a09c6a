"""Tells a run's caller by HTTP that it has ended.

An address is looked up and checked as for tools: public ones only, unless the operator names the
host in `O_CALLBACK_HOSTS`. A failure is tried again a few times and recorded with the run.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final

import httpx

from o_platform.agents import background_repository, history_repository
from o_platform.db.engine import Database
from o_platform.db.models import BackgroundRun, Run
from o_platform.tooling.fetch import Fetcher, FetchError, FetchPolicy

MAX_TRIES: Final = 4
FIRST_PAUSE_S: Final = 1.0
TIMEOUT_S: Final = 10.0
_log = logging.getLogger(__name__)


class Callbacks:
    """Sends callbacks of ended background runs."""

    def __init__(self, database: Database, fetcher: Fetcher, hosts: list[str]) -> None:
        """`hosts` may be called wherever they are."""
        self._database = database
        self._fetcher = fetcher
        self._hosts = {host.lower() for host in hosts}

    async def send(self, row: BackgroundRun) -> None:
        """Call back, and record what came of it."""
        async with self._database.unit_of_work() as session:
            run = await history_repository.fetch_run(session, row.run_id)
        status, error = await self._post(str(row.callback_url), _news(row, run))
        again = None
        if error is not None and row.callback_tries + 1 < MAX_TRIES:
            again = timedelta(seconds=FIRST_PAUSE_S * 4.0**row.callback_tries)
        if error is not None:
            extra = {"run_id": row.run_id, "url": row.callback_url}
            _log.warning("a callback failed: %s", error, extra=extra)
        async with self._database.unit_of_work() as session:
            await background_repository.record_callback(session, row.run_id, status, error, again)

    async def _post(self, url: str, news: dict[str, Any]) -> tuple[int | None, str | None]:
        """The answer's status, and what went wrong."""
        try:
            host = httpx.URL(url).host.lower()
            if host in self._hosts:
                async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
                    status = (await client.post(url, json=news)).status_code
            else:
                request = {"url": url, "method": "POST", "json": news, "timeout_s": TIMEOUT_S}
                answer = await self._fetcher.fetch(request, FetchPolicy([host]))
                status = int(answer["status"])
        except (FetchError, httpx.HTTPError, httpx.InvalidURL) as error:
            return None, str(error) or type(error).__name__
        return status, None if status < 400 else f"it answered {status}"


def _news(row: BackgroundRun, run: Run | None) -> dict[str, Any]:
    ended_at = row.ended_at
    return {
        "run_id": row.run_id,
        "agent_id": row.agent_id,
        "conversation_id": row.conversation_id,
        "status": run.status if run is not None else "failed",
        "stop_reason": run.stop_reason if run is not None else "error",
        "completed_at": None if ended_at is None else ended_at.isoformat(),
        "error": row.failure,
    }
