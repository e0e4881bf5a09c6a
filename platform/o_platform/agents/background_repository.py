"""The control plane's queries on background runs and their events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import is_conversation
from o_platform.db.engine import CHANNEL_RUNS, announce
from o_platform.db.models import BackgroundRun, Run, RunEvent
from o_platform.db.sealed_columns import BACKGROUND_BODY, vault_of

LEASE: Final = timedelta(seconds=30)
"""How long a run is left to the control plane that has begun to send it."""


async def add_run(session: AsyncSession, values: dict[str, Any]) -> BackgroundRun:
    """Add a run that is to be sent now; the one of the same request if that has not ended."""
    body = BACKGROUND_BODY.sealed(vault_of(session), values["body"], values["run_id"])
    made = insert(BackgroundRun).values(**values | {"body": body})
    same_request = made.on_conflict_do_update(
        index_elements=[BackgroundRun.agent_id, BackgroundRun.request_key],
        index_where=BackgroundRun.ended_at.is_(None),
        set_={"tries": BackgroundRun.tries},
    )
    returned = select(BackgroundRun).from_statement(same_request.returning(BackgroundRun))
    found: BackgroundRun = (await session.scalars(returned)).one()
    await announce(session, CHANNEL_RUNS, found.run_id)
    return found


async def fetch_background(session: AsyncSession, run_id: str) -> BackgroundRun | None:
    """The background run with this id."""
    return await session.get(BackgroundRun, run_id)


async def fetch_many(session: AsyncSession, run_ids: Collection[str]) -> dict[str, BackgroundRun]:
    """The background runs with these ids."""
    rows = await session.scalars(select(BackgroundRun).where(BackgroundRun.run_id.in_(run_ids)))
    return {row.run_id: row for row in rows}


async def open_runs(session: AsyncSession, agent_ids: Sequence[str]) -> list[BackgroundRun]:
    """Background runs that have not ended, of these agents (none named: of all), oldest first."""
    wanted = select(BackgroundRun).where(BackgroundRun.ended_at.is_(None))
    if agent_ids:
        wanted = wanted.where(BackgroundRun.agent_id.in_(agent_ids))
    return list(await session.scalars(wanted.order_by(BackgroundRun.created_at)))


async def newest_of_thread(
    session: AsyncSession, thread_id: str, request_key: str | None = None
) -> BackgroundRun | None:
    """The newest background run of a thread (of a request): one that has not ended, if any is."""
    if is_conversation(thread_id):
        mine = BackgroundRun.conversation_id == thread_id
    else:
        mine = (BackgroundRun.agent_id == thread_id) & BackgroundRun.conversation_id.is_(None)
    wanted = select(BackgroundRun).where(mine)
    if request_key is not None:
        wanted = wanted.where(BackgroundRun.request_key == request_key)
    newest = wanted.order_by(
        BackgroundRun.ended_at.is_(None).desc(), BackgroundRun.created_at.desc()
    )
    return await session.scalar(newest.limit(1))


async def find_run(session: AsyncSession, agent_id: str, request_key: str) -> Run | None:
    """The run that this request led to, if it has ended."""
    wanted = select(Run).where(Run.agent_id == agent_id, Run.request_key == request_key)
    return await session.scalar(wanted)


async def find_repeated(
    session: AsyncSession, agent_id: str, client: str, body_digest: str, window: timedelta
) -> BackgroundRun | None:
    """The newest background run of the same client, agent and body within this time."""
    wanted = select(BackgroundRun).where(
        BackgroundRun.agent_id == agent_id,
        BackgroundRun.client == client,
        BackgroundRun.body_digest == body_digest,
        BackgroundRun.created_at > func.now() - window,
    )
    return await session.scalar(wanted.order_by(BackgroundRun.created_at.desc()).limit(1))


async def due_runs(
    session: AsyncSession, besides: Collection[str], limit: int
) -> list[BackgroundRun]:
    """Runs to look after now, besides these, the longest overdue first; nobody else gets them."""
    wanted = (
        select(BackgroundRun)
        .where(
            BackgroundRun.ended_at.is_(None),
            BackgroundRun.next_try_at <= func.now(),
            BackgroundRun.run_id.not_in(besides),
        )
        .order_by(BackgroundRun.next_try_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = list(await session.scalars(wanted))
    await postpone(session, [row.run_id for row in rows], LEASE)
    return rows


async def postpone(session: AsyncSession, run_ids: Sequence[str], by: timedelta) -> None:
    """Look after these runs later."""
    await session.execute(
        update(BackgroundRun)
        .where(BackgroundRun.run_id.in_(run_ids), BackgroundRun.ended_at.is_(None))
        .values(next_try_at=func.now() + by)
    )


async def record_try(session: AsyncSession, run_id: str, again_in: timedelta) -> None:
    """Note that sending a run failed, and when to try it again."""
    await session.execute(
        update(BackgroundRun)
        .where(BackgroundRun.run_id == run_id, BackgroundRun.ended_at.is_(None))
        .values(tries=BackgroundRun.tries + 1, next_try_at=func.now() + again_in)
    )
    await announce(session, CHANNEL_RUNS, run_id)


async def end_run(session: AsyncSession, row: BackgroundRun, stop_reason: str, **how: str) -> bool:
    """End a run that has no outcome; `how` is `code` and `message` if it failed.

    Returns whether it had not ended before.
    """
    ended = (
        update(BackgroundRun)
        .where(BackgroundRun.run_id == row.run_id, BackgroundRun.ended_at.is_(None))
        .values(ended_at=func.now(), next_try_at=func.now(), body=None, failure=how or None)
        .returning(BackgroundRun.run_id)
    )
    if await session.scalar(ended) is None:
        return False
    values = {
        "id": row.run_id, "agent_id": row.agent_id, "conversation_id": row.conversation_id,
        "background": True, "status": "failed" if how else "cancelled", "stop_reason": stop_reason,
        "request_key": f"failed:{row.run_id}" if how else row.request_key, "variant": "",
        "instance_id": "", "client": row.client, "body_digest": row.body_digest,
        "prompt_tokens": 0, "completion_tokens": 0, "cached_input_tokens": 0,
        "reasoning_tokens": 0, "step_count": 0, "duration_us": 0, "failure": how or None,
    }  # fmt: skip
    await session.execute(insert(Run).values(**values).on_conflict_do_nothing())
    await announce(session, CHANNEL_RUNS, row.run_id)
    return True


async def fetch_events(
    session: AsyncSession, run_id: str, after: int, limit: int
) -> list[RunEvent]:
    """Events of a run after the one with this number, in order."""
    wanted = select(RunEvent).where(RunEvent.run_id == run_id, RunEvent.seq > after)
    return list(await session.scalars(wanted.order_by(RunEvent.seq).limit(limit)))


async def due_callbacks(session: AsyncSession, limit: int) -> list[BackgroundRun]:
    """Ended runs whose callback is to be sent."""
    wanted = (
        select(BackgroundRun)
        .where(
            BackgroundRun.callback_url.is_not(None),
            BackgroundRun.callback_sent_at.is_(None),
            BackgroundRun.ended_at.is_not(None),
            BackgroundRun.next_try_at <= func.now(),
        )
        .order_by(BackgroundRun.ended_at)
        .limit(limit)
    )
    return list(await session.scalars(wanted))


async def record_callback(
    session: AsyncSession,
    run_id: str,
    status_code: int | None,
    error: str | None,
    again_in: timedelta | None,
) -> None:
    """Note what became of a callback, and when to try it again (None: never)."""
    values: dict[str, Any] = {
        "callback_status_code": status_code,
        "callback_error": error,
        "callback_tries": BackgroundRun.callback_tries + 1,
    }
    if again_in is None:
        values["callback_sent_at"] = func.now()
    else:
        values["next_try_at"] = func.now() + again_in
    await session.execute(
        update(BackgroundRun).where(BackgroundRun.run_id == run_id).values(**values)
    )
    await announce(session, CHANNEL_RUNS, run_id)


async def next_due(session: AsyncSession, besides: Collection[str]) -> datetime | None:
    """When the next run or callback is to be looked after, besides these runs."""
    unsent = BackgroundRun.callback_url.is_not(None) & BackgroundRun.callback_sent_at.is_(None)
    waiting = BackgroundRun.ended_at.is_(None) | unsent
    return await session.scalar(
        select(func.min(BackgroundRun.next_try_at)).where(
            waiting, BackgroundRun.run_id.not_in(besides)
        )
    )
