"""What a variant may spend on model calls per UTC day: US dollars, and tokens.

Totals are kept in memory, read from `llm_usage` once per variant and day, and written back by `run`
as soon as something was booked; bookings that arrive during a write share the next one. A process
that is killed loses the bookings of the write under way; one that is cancelled in a write may count
it twice, never less. Calls under way are not reserved, so a
budget can be passed by as much as they cost; the next call is refused.

Built-in models are free: nothing is booked for them, and there is no need to `check`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta

from o_contracts.llm import LlmDelta, LlmRequest, LlmResult
from o_platform.clock import Clock, SystemClock
from o_platform.db.engine import Database
from o_platform.errors import BudgetExceededError, DatabaseUnavailableError, LlmError
from o_platform.llm.assembly import Assembly
from o_platform.llm.builtin import is_builtin
from o_platform.llm.prices import listed_model
from o_platform.llm.repository import add_spending, fetch_spending
from o_platform.llm.spending import Spending, spending_of
from o_platform.llm.tokens import estimate_usage
from o_platform.settings import Settings

RETRY_S = 1.0
"""Pause before bookings are written again after the database was away."""

_log = logging.getLogger(__name__)


class Budget:
    """Checks and books the spending of variants."""

    def __init__(self, database: Database, settings: Settings, clock: Clock | None = None) -> None:
        """Limits come from `settings.variant_budget_usd` and `settings.variant_budget_tokens`."""
        self._database = database
        self._limit_usd = settings.variant_budget_usd
        self._limit_tokens = settings.variant_budget_tokens
        self._clock = clock or SystemClock()
        self._totals: dict[tuple[str, str], Spending] = {}
        self._unsaved: dict[tuple[str, str], Spending] = {}
        self._booked = asyncio.Event()

    async def check(self, variant: str) -> None:
        """Return if `variant` may make another call; from memory, except its first one of a day.

        Raises:
            BudgetExceededError: its budget of the day is spent.
            DatabaseUnavailableError: its spending cannot be read.
        """
        now = self._clock.now()
        key = (variant, _day(now))
        if key not in self._totals:
            await self._load(key)
        spent = self._totals[key]
        if spent.cost_usd >= self._limit_usd or spent.tokens >= self._limit_tokens:
            raise self._exceeded(variant, spent, now)

    async def metered(
        self,
        variant: str,
        request: LlmRequest,
        pieces: AsyncGenerator[LlmDelta | LlmResult, None],
    ) -> AsyncGenerator[LlmDelta | LlmResult, None]:
        """`pieces` of a call, checked before and booked after.

        A call that is left early, or breaks off in the middle, is booked by an estimate: the
        provider wants its money, and leaving streams must not be a way around the budget.

        Raises:
            BudgetExceededError: the budget of the day is spent; nothing was called.
            LlmError: what `pieces` raises.
        """
        await self.check(variant)
        seen, result, owed = Assembly(), None, True
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, LlmResult):
                        result = piece
                    else:
                        seen.add(piece)
                    yield piece
        except LlmError:
            owed = seen.has_begun
            raise
        finally:
            if owed:
                self.book(variant, result or _estimate(request, seen))

    def book(self, variant: str, result: LlmResult) -> None:
        """Count a reply; it is in force at once and written soon (see `run`)."""
        if is_builtin(result.model):
            return
        key = (variant, _day(self._clock.now()))
        spent = spending_of(result)
        self._unsaved[key] = self._unsaved.get(key, Spending()) + spent
        if key in self._totals:
            self._totals[key] += spent
        self._booked.set()

    async def spent_today(self, variant: str) -> Spending:
        """What `variant` spent on the current day."""
        key = (variant, _day(self._clock.now()))
        if key not in self._totals:
            await self._load(key)
        return self._totals[key]

    async def run(self) -> None:
        """Write bookings until cancelled; then write the last ones."""
        try:
            while True:
                await self._booked.wait()
                try:
                    await self.flush()
                except DatabaseUnavailableError as error:
                    _log.warning("bookings wait for the database: %s", error.message)
                    await asyncio.sleep(RETRY_S)
        finally:
            await self._flush_last()

    async def flush(self) -> None:
        """Write what is not written yet.

        Raises:
            DatabaseUnavailableError: nothing is lost; call again.
        """
        writing, self._unsaved = self._unsaved, {}
        self._booked.clear()
        if not writing:
            return
        try:
            async with self._database.unit_of_work() as session:
                saved = await add_spending(session, writing)
        except BaseException:
            self._put_back(writing)
            raise
        self._adopt(saved)

    async def _flush_last(self) -> None:
        try:
            await self.flush()
        except DatabaseUnavailableError as error:
            _log.error("%d bookings are lost: %s", len(self._unsaved), error.message)

    async def _load(self, key: tuple[str, str]) -> None:
        async with self._database.unit_of_work() as session:
            saved = await fetch_spending(session, *key)
        if key not in self._totals:
            self._totals[key] = saved + self._unsaved.get(key, Spending())

    def _put_back(self, writing: dict[tuple[str, str], Spending]) -> None:
        for key, spent in writing.items():
            self._unsaved[key] = spent + self._unsaved.get(key, Spending())
        self._booked.set()

    def _adopt(self, saved: dict[tuple[str, str], Spending]) -> None:
        today = _day(self._clock.now())
        self._totals = {key: spent for key, spent in self._totals.items() if key[1] == today}
        for key, spent in saved.items():
            if key[1] == today:
                self._totals[key] = spent + self._unsaved.get(key, Spending())

    def _exceeded(self, variant: str, spent: Spending, now: datetime) -> BudgetExceededError:
        resets_at = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return BudgetExceededError(
            f"variant {variant[:12]} has spent its budget of the day: {spent.cost_usd:.2f} of "
            f"{self._limit_usd:.2f} USD, {spent.tokens} of {self._limit_tokens} tokens; "
            f"it resets at {resets_at:%Y-%m-%d %H:%M} UTC (O_VARIANT_BUDGET_USD, "
            "O_VARIANT_BUDGET_TOKENS)",
            variant=variant,
            spent_usd=round(spent.cost_usd, 6),
            limit_usd=self._limit_usd,
            spent_tokens=spent.tokens,
            limit_tokens=self._limit_tokens,
            resets_at=resets_at.isoformat(),
        )


def _estimate(request: LlmRequest, seen: Assembly) -> LlmResult:
    usage = estimate_usage(
        request, text=seen.text, reasoning=seen.reasoning, tool_calls=seen.tool_calls()
    )
    price = listed_model(request.model).cost_usd(usage)
    return LlmResult(usage=usage, model=request.model, cost_usd=price)


def _day(now: datetime) -> str:
    return now.strftime("%Y-%m-%d")
