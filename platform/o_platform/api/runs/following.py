"""The stream of a background run, for a client that comes (back) later.

Its messages come from the database, numbered as the run's first client got them; how it ended, from
the run itself. A run is over when its row is there, and by then all of its events are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import msgspec

from o_platform.agents import background_repository, history_repository
from o_platform.db.engine import Database
from o_platform.db.models import BackgroundRun, Run
from o_platform.errors import NotFoundError
from o_platform.wiring.run_news import RunNews

PING_S: Final = 10.0
"""Silence after which a keep-alive ping is sent."""
BATCH: Final = 500
_DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Following:
    """How a client wants to follow: after which event, and how often to look at least."""

    after: int = 0
    include_pings: bool = True
    look_s: float = 1.0
    batch: int = BATCH


async def follow(
    database: Database, news: RunNews, run_id: str, wanted: Following
) -> AsyncIterator[bytes]:
    """The events of a run after `wanted.after`, as they come, to its end.

    Raises:
        NotFoundError: there is no such background run (any more).
    """
    loop = asyncio.get_running_loop()
    seq, sent_at = wanted.after, loop.time()
    with news.following(run_id) as bell:
        if wanted.include_pings:
            yield _data(_ping(run_id))
        while True:
            bell.clear()
            found = await _look(database, run_id, seq, wanted.batch)
            for _, data in found.events:
                yield b"data: " + data.encode() + b"\n\n"
            if found.events:
                seq, sent_at = found.events[-1][0], loop.time()
            if len(found.events) == wanted.batch:
                continue
            if found.run is not None:
                for event in _ending(found.run, found.row):
                    yield event
                return
            if wanted.include_pings and loop.time() - sent_at >= PING_S:
                sent_at = loop.time()
                yield _data(_ping(run_id))
            await _rung(bell, wanted.look_s)


@dataclass(frozen=True, slots=True)
class _Found:
    row: BackgroundRun
    run: Run | None
    events: list[tuple[int, str]]


async def _look(database: Database, run_id: str, after: int, limit: int) -> _Found:
    async with database.unit_of_work() as session:
        # The run before its events: what it had published is there when it is.
        run = await history_repository.fetch_run(session, run_id)
    async with database.unit_of_work() as session:
        row = await background_repository.fetch_background(session, run_id)
        if row is None:
            raise NotFoundError(f"no background run has the id {run_id!r}", run_id=run_id)
        events = await background_repository.fetch_events(session, run_id, after, limit)
    return _Found(row, run, [(event.seq, event.data) for event in events])


async def _rung(bell: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await bell.wait()
    except TimeoutError:
        return


def _ending(run: Run, row: BackgroundRun) -> list[bytes]:
    ending = [_data({"message_type": "stop_reason", "stop_reason": run.stop_reason})]
    if run.status == "failed" and row.failure is not None:
        ending.append(b"event: error\n" + _data(_error(run, row.failure)))
    else:
        ending.append(_data(_usage(run)))
    return [*ending, _DONE]


def _error(run: Run, failure: dict[str, Any]) -> dict[str, Any]:
    return {
        "message_type": "error_message",
        "run_id": run.id,
        "error_type": failure.get("code"),
        "message": failure.get("message"),
        "detail": None,
        "seq_id": None,
    }


def _usage(run: Run) -> dict[str, Any]:
    return {
        "message_type": "usage_statistics",
        "completion_tokens": run.completion_tokens,
        "prompt_tokens": run.prompt_tokens,
        "total_tokens": run.prompt_tokens + run.completion_tokens,
        "step_count": run.step_count,
        "run_ids": [run.id],
        "cached_input_tokens": run.cached_input_tokens,
        "cache_write_tokens": 0,
        "reasoning_tokens": run.reasoning_tokens,
        "context_tokens": None,
    }


def _ping(run_id: str) -> dict[str, Any]:
    date = datetime.now(UTC).replace(microsecond=0).isoformat()
    ping = {"id": f"ping-{uuid4()}", "date": date, "message_type": "ping", "run_id": run_id}
    none = ("name", "otid", "sender_id", "step_id", "is_err", "seq_id")
    return ping | dict.fromkeys(none)


def _data(event: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(event) + b"\n\n"
