"""Group commit: batches, failures taken apart, patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from o_platform.bridge.commits import GroupCommit
from o_platform.bridge.counters import Counters
from o_platform.bridge.records import Committed, Outcome, Refused
from o_platform.errors import DatabaseUnavailableError

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Item:
    agent_id: str
    is_bad: bool = False


@dataclass
class Writer:
    """Writes into a list; fails as it is told."""

    away: int = 0
    refusal: Exception = field(default_factory=lambda: psycopg.DataError("bad value"))
    batches: list[list[str]] = field(default_factory=list)

    async def write(self, batch: Sequence[Item]) -> list[Outcome]:
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise psycopg.OperationalError("gone")
        if any(item.is_bad for item in batch):
            raise self.refusal
        self.batches.append([item.agent_id for item in batch])
        return [Committed(len(self.batches)) for _ in batch]


@asynccontextmanager
async def committing(writer: Writer, wait_s: float = 5.0) -> AsyncIterator[GroupCommit[Item]]:
    commits = GroupCommit(writer.write, Counters(), wait_s=wait_s)
    task = asyncio.create_task(commits.run())
    yield commits
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def recorder(outcomes: dict[str, Outcome], name: str) -> Callable[[Outcome], None]:
    return lambda outcome: outcomes.update({name: outcome})


async def settle(commits: GroupCommit[Item], items: Sequence[Item]) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for number, item in enumerate(items):
        commits.submit(item, recorder(outcomes, f"{item.agent_id}{number}"))
    async with asyncio.timeout(5):
        await commits.drained()
    return outcomes


async def test_turns_that_wait_are_one_batch_with_one_turn_per_agent() -> None:
    writer = Writer()
    async with committing(writer) as commits:
        outcomes = await settle(commits, [Item("a"), Item("b"), Item("a"), Item("c")])
    assert writer.batches == [["a", "b", "c"], ["a"]]
    assert set(outcomes) == {"a0", "b1", "a2", "c3"}


def made_of(error: psycopg.Error) -> Exception:
    """What `Database.unit_of_work` makes of it."""
    made = DatabaseUnavailableError("PostgreSQL does not answer")
    made.__cause__ = OperationalError("INSERT", {}, error)
    made.__cause__.__cause__ = error
    return made


@pytest.mark.parametrize(
    "refusal",
    [
        psycopg.DataError("bad value"),
        psycopg.errors.NumericValueOutOfRange("too large"),
        psycopg.errors.ProgramLimitExceeded("index row too large"),
        made_of(psycopg.errors.ProgramLimitExceeded("index row too large")),
    ],
)
async def test_a_bad_turn_is_refused_alone(refusal: Exception) -> None:
    writer = Writer(refusal=refusal)
    async with committing(writer) as commits:
        outcomes = await settle(commits, [Item("a"), Item("b", is_bad=True), Item("c")])
    assert writer.batches == [["a"], ["c"]]
    refused = outcomes["b1"]
    assert isinstance(refused, Refused)
    assert refused.error.code == "bad_input"


async def test_turns_wait_while_the_database_is_away() -> None:
    writer = Writer(away=3)
    async with committing(writer) as commits:
        outcomes = await settle(commits, [Item("a"), Item("b")])
    assert set(outcomes.values()) == {Committed(1)}


async def test_a_wait_for_the_database_is_bounded() -> None:
    writer = Writer(away=10**6)
    async with committing(writer, wait_s=0.05) as commits:
        outcomes = await settle(commits, [Item("a")])
        refused = outcomes["a0"]
        assert isinstance(refused, Refused)
        assert (refused.error.status, refused.error.retryable) == (503, True)
        writer.away = 0
        assert await settle(commits, [Item("a")]) == {"a0": Committed(1)}


async def test_a_failure_to_settle_one_does_not_stop_the_others() -> None:
    def fail(_: Outcome) -> None:
        raise RuntimeError("settling failed")

    async with committing(Writer()) as commits:
        commits.submit(Item("a"), fail)
        assert await settle(commits, [Item("b")]) == {"b0": Committed(1)}
