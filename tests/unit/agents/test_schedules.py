"""When scheduled turns are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from o_platform.agents.schedules import (
    MAX_TRIES,
    first_time,
    following_time,
    is_cron,
    retry_time,
)

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 25, 4, 2, 30, tzinfo=UTC)
EVERY_FIVE = {"type": "recurring", "cron_expression": "*/5 * * * *"}


def once(at: datetime) -> dict[str, object]:
    return {"type": "one-time", "scheduled_at": at.timestamp() * 1000}


def test_a_one_time_turn_is_due_at_its_time_and_never_again() -> None:
    later = NOW + timedelta(hours=1)
    assert first_time(once(later), NOW) == later
    assert first_time(once(NOW - timedelta(days=1)), NOW) == NOW
    assert following_time(once(later), later) is None


def test_a_recurring_turn_follows_its_expression_in_utc() -> None:
    first = first_time(EVERY_FIVE, NOW)
    assert first == datetime(2026, 11, 25, 4, 5, tzinfo=UTC)
    assert following_time(EVERY_FIVE, first) == first + timedelta(minutes=5)


def test_what_was_missed_runs_once() -> None:
    back = NOW + timedelta(days=3)
    assert following_time(EVERY_FIVE, back) == datetime(2026, 11, 28, 4, 5, tzinfo=UTC)


def test_tries_come_apart_and_end() -> None:
    pauses = [retry_time(tries, NOW) for tries in range(1, MAX_TRIES)]
    waits = [at - NOW for at in pauses if at is not None]
    assert len(waits) == MAX_TRIES - 1
    assert waits == sorted(waits)
    assert retry_time(MAX_TRIES, NOW) is None


@pytest.mark.parametrize("bad", ["", "* * * *", "61 * * * *", "@daily", "* * * * * *", "x y z a b"])
def test_only_five_valid_fields_are_cron(bad: str) -> None:
    assert not is_cron(bad)
    assert is_cron("0 9 * * 1-5")
