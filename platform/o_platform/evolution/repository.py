"""Queries of evolution: attempts, the lineage's own agent, failures, and measured effects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_agent_id
from o_platform.db.models import Agent, Attempt, Event, Lineage, Rollout, RolloutEvent, Run
from o_platform.errors import NotFoundError

MEMORY_TAG = "o:lineage-memory"
FAILURE_WINDOW = timedelta(days=1)
CANARY = "canary"
PARTS = frozenset({CANARY, "paused", "insufficient_data"})
"""States of a rollout in which its canary goes on."""


async def fetch_lineage(session: AsyncSession, name: str, *, lock: bool = False) -> Lineage:
    """The lineage called `name`; `lock` holds its row until the transaction ends.

    Raises:
        NotFoundError: there is none.
    """
    lineage = await session.get(Lineage, name, with_for_update=lock)
    if lineage is None:
        raise NotFoundError(f"there is no lineage {name!r}; see `o status`", lineage=name)
    return lineage


async def ensure_memory_agent(session: AsyncSession, name: str) -> str:
    """Id of the agent whose archival memory holds the lineage's attempts; made on first use."""
    lineage = await fetch_lineage(session, name, lock=True)
    if lineage.memory_agent_id is None:
        agent = Agent(
            id=new_agent_id(lineage.key),
            lineage=name,
            name=f"memory of {name}",
            agent_type="letta_v1_agent",
            system="You remember how this lineage's genome changed, and why.",
            model="o/echo",
            model_settings={},
            embedding="o/hash",
            description=f"Archival memory of every attempt of the lineage {name}",
            tools=["archival_memory_search"],
            tool_rules=[],
            tags=[MEMORY_TAG],
        )
        session.add(agent)
        await session.flush()
        lineage.memory_agent_id = agent.id
    return lineage.memory_agent_id


async def fetch_attempt(session: AsyncSession, attempt_id: str) -> Attempt | None:
    """The attempt, if it exists."""
    return await session.get(Attempt, attempt_id)


async def list_attempts(session: AsyncSession, lineage: str, *, limit: int = 50) -> list[Attempt]:
    """The lineage's newest attempts, newest first."""
    query = (
        select(Attempt)
        .where(Attempt.lineage == lineage)
        .order_by(Attempt.created_at.desc(), Attempt.id)
        .limit(limit)
    )
    return list((await session.scalars(query)).all())


async def count_attempts(session: AsyncSession, lineage: str) -> int:
    """How many attempts the lineage has made."""
    query = select(func.count()).select_from(Attempt).where(Attempt.lineage == lineage)
    return int((await session.scalar(query)) or 0)


async def open_attempt(session: AsyncSession, lineage: str) -> Attempt | None:
    """The attempt of the lineage that has not ended, if there is one."""
    query = select(Attempt).where(Attempt.lineage == lineage, Attempt.outcome == "open")
    return (await session.scalars(query.limit(1))).first()


async def earlier_attempt(session: AsyncSession, lineage: str, variant: str) -> Attempt | None:
    """The last attempt that led to the same variant and ended, if any."""
    query = (
        select(Attempt)
        .where(Attempt.lineage == lineage, Attempt.variant == variant, Attempt.outcome != "open")
        .order_by(Attempt.created_at.desc())
    )
    return (await session.scalars(query.limit(1))).first()


async def fetch_rollout(session: AsyncSession, rollout_id: str) -> Rollout:
    """The rollout with this id.

    Raises:
        NotFoundError: there is none.
    """
    rollout = await session.get(Rollout, rollout_id)
    if rollout is None:
        raise NotFoundError(f"there is no rollout {rollout_id!r}", rollout_id=rollout_id)
    return rollout


async def rollout_started_by(session: AsyncSession, lineage: str, by: str) -> str | None:
    """Id of the lineage's rollout that `by` started, if there is one."""
    query = select(Rollout.id).where(Rollout.lineage == lineage, Rollout.created_by == by)
    return (await session.scalars(query.limit(1))).first()


async def recent_failures(session: AsyncSession, lineage: Lineage, now: datetime) -> list[str]:
    """What went wrong with the stable variant within a day, a line a kind, most frequent first."""
    since = now.astimezone(UTC) - FAILURE_WINDOW
    runs = (
        select(Run.stop_reason, func.count())
        .join(Agent, Agent.id == Run.agent_id)
        .where(
            Agent.lineage == lineage.name,
            Run.variant == lineage.stable_variant,
            Run.created_at > since,
            Run.stop_reason.not_in(["end_turn", "tool_rule"]),
        )
        .group_by(Run.stop_reason)
    )
    events = (
        select(Event.kind, func.count())
        .where(Event.at > since, Event.data["variant"].astext == lineage.stable_variant)
        .group_by(Event.kind)
    )
    rows = [*(await session.execute(runs)).all(), *(await session.execute(events)).all()]
    return [f"{kind}, {count} times" for kind, count in sorted(rows, key=lambda row: -row[1])]


async def measured_effect(session: AsyncSession, rollout: Rollout) -> dict[str, Any]:
    """Change in percent of the variant against its baseline, over the canary's live turns.

    Both sides are taken from the same time, from the first canary step to the end of the last one:
    conversations grow, so turns of different times cannot be compared. Means over agents of each
    agent's mean, since traffic is split by agent; tokens as the bridge counted them, latency from
    opening a turn to its commit. Empty when either side served no turn in that time.
    """
    began, ended = await _canary_time(session, rollout)
    if began is None:
        return {}
    per_agent = (
        select(
            Run.variant.label("variant"),
            func.avg(Run.prompt_tokens).label("prompt_tokens"),
            (func.avg(Run.duration_us) / 1000).label("latency_ms"),
        )
        .where(
            Run.variant.in_([rollout.variant, rollout.baseline]),
            Run.created_at >= began,
            Run.created_at <= ended,
        )
        .group_by(Run.variant, Run.agent_id)
        .subquery()
    )
    query = select(
        per_agent.c.variant,
        func.count(),
        func.avg(per_agent.c.prompt_tokens),
        func.avg(per_agent.c.latency_ms),
    ).group_by(per_agent.c.variant)
    rows = {row[0]: row for row in (await session.execute(query)).all()}
    ours, base = rows.get(rollout.variant), rows.get(rollout.baseline)
    if ours is None or base is None:
        return {}
    return {
        "prompt_tokens": _change(float(ours[2]), float(base[2])),
        "latency_ms": _change(float(ours[3]), float(base[3])),
        "agents": {"variant": int(ours[1]), "baseline": int(base[1])},
    }


async def _canary_time(
    session: AsyncSession, rollout: Rollout
) -> tuple[datetime | None, datetime | None]:
    query = (
        select(RolloutEvent.at, RolloutEvent.state)
        .where(RolloutEvent.rollout_id == rollout.id)
        .order_by(RolloutEvent.id)
    )
    times = [(row.at, row.state) for row in (await session.execute(query)).all()]
    began = next((at for at, state in times if state == CANARY), None)
    after = (at for at, state in times if began is not None and at > began and state not in PARTS)
    return began, next(after, rollout.finished_at)


def _change(value: float, base: float) -> float:
    return round((value / base - 1) * 100, 2) if base else 0.0
