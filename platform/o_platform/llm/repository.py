"""Reads and writes of `llm_usage`."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.db.models import LlmUsage
from o_platform.llm.spending import Spending


async def fetch_spending(session: AsyncSession, variant: str, day: str) -> Spending:
    """What `variant` spent on `day` (`YYYY-MM-DD`, UTC)."""
    row = await session.get(LlmUsage, (variant, day))
    return Spending() if row is None else _spending(row)


async def fetch_day(session: AsyncSession, day: str) -> dict[str, Spending]:
    """What each variant spent on `day`."""
    rows = await session.scalars(select(LlmUsage).where(LlmUsage.day == day))
    return {row.variant: _spending(row) for row in rows}


async def add_spending(
    session: AsyncSession, additions: Mapping[tuple[str, str], Spending]
) -> dict[tuple[str, str], Spending]:
    """Add to the rows of (variant, day); the new totals, other processes' spending included."""
    values = [
        {
            "variant": variant,
            "day": day,
            "calls": spent.calls,
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "cost_usd": spent.cost_usd,
        }
        for (variant, day), spent in sorted(additions.items())
    ]
    new = insert(LlmUsage).values(values)
    amounts = ("calls", "prompt_tokens", "completion_tokens", "cost_usd")
    upsert = new.on_conflict_do_update(
        index_elements=["variant", "day"],
        set_={name: getattr(LlmUsage, name) + new.excluded[name] for name in amounts},
    )
    rows = await session.scalars(
        upsert.returning(LlmUsage), execution_options={"populate_existing": True}
    )
    return {(row.variant, row.day): _spending(row) for row in rows}


def _spending(row: LlmUsage) -> Spending:
    return Spending(row.calls, row.prompt_tokens, row.completion_tokens, row.cost_usd)
