"""The SQL of traces: what steps sent to their providers and got back, sealed, for some days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from o_contracts.llm import ProviderTrace
from o_platform.db.sealed_columns import TRACE_BODY
from o_platform.db.sealing import Vault


class StepTrace(NamedTuple):
    """A step and its trace."""

    step_id: str
    trace: ProviderTrace


async def write_traces(
    connection: AsyncConnection, vault: Vault, traces: Sequence[StepTrace]
) -> None:
    """Keep traces, in the transaction that has written their steps."""
    if not traces:
        return
    rows = [(step_id, Jsonb(_sealed(vault, step_id, trace))) for step_id, trace in traces]
    async with connection.cursor() as cursor:
        await cursor.executemany("INSERT INTO step_traces (step_id, body) VALUES (%s, %s)", rows)


async def delete_old_traces(connection: AsyncConnection, age_days: int) -> int:
    """Forget traces that are older; returns how many."""
    cursor = await connection.execute(
        "DELETE FROM step_traces WHERE created_at < now() - make_interval(days => %s)", (age_days,)
    )
    return cursor.rowcount


def _sealed(vault: Vault, step_id: str, trace: ProviderTrace) -> str:
    return TRACE_BODY.sealed(vault, _body(trace), step_id)


def _body(trace: ProviderTrace) -> dict[str, Any]:
    return {
        "request": msgspec.json.decode(trace.request),
        "response": msgspec.json.decode(trace.response),
    }
