"""Keeping what a turn got from outside, before it goes on: another attempt gets the same."""

from __future__ import annotations

from typing import Any, Final

from psycopg import AsyncConnection

from o_platform.agents.past_runs import write_journal
from o_platform.bridge.memo import Kind
from o_platform.bridge.postgres import Postgres
from o_platform.bridge.turn import Turn
from o_platform.db.sealing import Vault

_WAIT_S: Final = 10.0


async def keep(
    postgres: Postgres, vault: Vault, turn: Turn, kind: Kind, seq: int, digest: str, result: Any
) -> None:
    """Remember the result with the turn, and in its journal.

    Raises:
        DatabaseUnavailableError: the result cannot be kept now.
    """
    row = turn.memo.keep(kind, seq, digest, result)
    turn.journaled = True

    async def write(connection: AsyncConnection) -> None:
        await write_journal(connection, vault, *turn.key, row)

    await postgres.run(write, wait_s=_WAIT_S)
