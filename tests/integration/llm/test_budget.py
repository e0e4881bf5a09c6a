from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from o_contracts.llm import LlmDelta, LlmMessage, LlmRequest, LlmResult
from o_contracts.messages import Usage
from o_platform.db.engine import Database
from o_platform.errors import BudgetExceededError, DatabaseUnavailableError, LlmError
from o_platform.llm.budget import Budget
from o_platform.llm.repository import fetch_day
from o_platform.llm.spending import Spending
from o_platform.settings import Settings
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration

SETTINGS = Settings(variant_budget_usd=1.0, variant_budget_tokens=1000)
VARIANT = "a" * 64

Piece = LlmDelta | LlmResult


class MovableClock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def reply(tokens: int = 10, cost_usd: float = 0.0, model: str = "openai/x") -> LlmResult:
    return LlmResult(usage=Usage(tokens, tokens), model=model, cost_usd=cost_usd)


async def test_dollars_and_tokens_are_limited(database: Database) -> None:
    budget = Budget(database, SETTINGS, MovableClock())
    await budget.check(VARIANT)
    budget.book(VARIANT, reply(cost_usd=1.25))
    with pytest.raises(BudgetExceededError, match=r"1\.25 of 1\.00 USD") as caught:
        await budget.check(VARIANT)
    assert "resets at 2026-04-01 00:00 UTC" in caught.value.message
    assert caught.value.detail == {
        "variant": VARIANT,
        "spent_usd": 1.25,
        "limit_usd": 1.0,
        "spent_tokens": 20,
        "limit_tokens": 1000,
        "resets_at": "2026-04-01T00:00:00+00:00",
    }
    await budget.check("other")
    budget.book("other", reply(tokens=500))
    with pytest.raises(BudgetExceededError, match="1000 of 1000 tokens"):
        await budget.check("other")


async def test_calls_that_are_left_or_break_off_are_estimated(database: Database) -> None:
    budget = Budget(database, SETTINGS)
    request = LlmRequest("openai/gpt-4o-mini", [LlmMessage("user", "x" * 400)], stream=True)

    async def call(*pieces: LlmDelta | LlmResult | LlmError) -> AsyncGenerator[Piece, None]:
        for piece in pieces:
            if isinstance(piece, LlmError):
                raise piece
            yield piece

    async def spend(variant: str, *pieces: LlmDelta | LlmResult | LlmError, take: int) -> Spending:
        async with aclosing(budget.metered(variant, request, call(*pieces))) as items:
            try:
                for _ in range(take):
                    await anext(items)
            except LlmError:
                pass
        return await budget.spent_today(variant)

    delta, whole = LlmDelta("y" * 40), reply(tokens=3, cost_usd=0.5)
    assert await spend("whole", delta, whole, take=2) == Spending(1, 3, 3, 0.5)
    part = Spending(1, 104, 10, pytest.approx(104 * 0.15e-6 + 10 * 0.6e-6))
    assert await spend("left", delta, whole, take=1) == part
    assert await spend("broken", delta, LlmError("cut"), take=2) == part
    assert await spend("refused", LlmError("no"), take=1) == Spending()


async def test_it_resets_at_midnight_utc(database: Database) -> None:
    clock = MovableClock()
    budget = Budget(database, SETTINGS, clock)
    budget.book(VARIANT, reply(cost_usd=2))
    with pytest.raises(BudgetExceededError):
        await budget.check(VARIANT)
    clock.moment += timedelta(hours=1)
    await budget.check(VARIANT)
    await budget.flush()
    async with database.unit_of_work() as session:
        assert await fetch_day(session, "2026-03-31") == {VARIANT: Spending(1, 10, 10, 2.0)}
        assert await fetch_day(session, "2026-04-01") == {}


async def test_built_in_models_are_free(database: Database) -> None:
    budget = Budget(database, SETTINGS)
    budget.book(VARIANT, reply(tokens=10_000, model="o/echo"))
    await budget.check(VARIANT)
    assert await budget.spent_today(VARIANT) == Spending()


async def test_spending_survives_a_restart(database: Database) -> None:
    clock = MovableClock()
    budget = Budget(database, SETTINGS, clock)
    running = asyncio.create_task(budget.run())
    for _ in range(3):
        budget.book(VARIANT, reply(cost_usd=0.4))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    after = Budget(database, SETTINGS, clock)
    assert await after.spent_today(VARIANT) == Spending(3, 30, 30, pytest.approx(1.2))
    with pytest.raises(BudgetExceededError):
        await after.check(VARIANT)


async def test_several_processes_see_each_others_spending(database: Database) -> None:
    clock = MovableClock()
    one, two = Budget(database, SETTINGS, clock), Budget(database, SETTINGS, clock)
    await one.check(VARIANT)
    await two.check(VARIANT)
    one.book(VARIANT, reply(cost_usd=0.6))
    await one.flush()
    two.book(VARIANT, reply(cost_usd=0.6))
    await two.check(VARIANT)
    await two.flush()
    with pytest.raises(BudgetExceededError):
        await two.check(VARIANT)
    assert (await two.spent_today(VARIANT)).calls == 2


async def test_nothing_is_lost_while_the_database_is_away(database: Database) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none", vault_of_tests())
    budget = Budget(away, SETTINGS)
    budget.book(VARIANT, reply(cost_usd=2))
    for _ in range(2):  # with nothing left to write, the second would not ask the database
        with pytest.raises(DatabaseUnavailableError):
            await budget.flush()
    await away.close()


async def test_bookings_are_written_as_they_come(database: Database) -> None:
    clock = MovableClock()
    budget = Budget(database, SETTINGS, clock)
    running = asyncio.create_task(budget.run())
    budget.book(VARIANT, reply())

    async def calls_written() -> int:
        async with database.unit_of_work() as session:
            return (await fetch_day(session, "2026-03-31")).get(VARIANT, Spending()).calls

    async with asyncio.timeout(10):
        while not await calls_written():
            budget.book(VARIANT, reply())
    running.cancel()
    await asyncio.wait([running])
    assert await calls_written() == (await budget.spent_today(VARIANT)).calls
