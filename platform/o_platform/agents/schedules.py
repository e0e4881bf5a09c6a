"""When a scheduled turn is due: pure functions of its rule.

A rule is the API's own: `{"type": "one-time", "scheduled_at": <milliseconds since the epoch>}` or
`{"type": "recurring", "cron_expression": "*/5 * * * *"}`, in UTC. A recurring turn that was missed
while the platform was down runs once, not once for each time missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from croniter import croniter

MAX_TRIES: Final = 6
"""How often a run that fails for a passing reason is tried."""
FIRST_PAUSE_S: Final = 5.0


def first_time(rule: Mapping[str, Any], now: datetime) -> datetime:
    """When the turn is due first; a one-time one in the past is due at once."""
    if rule["type"] == "one-time":
        return max(now, datetime.fromtimestamp(rule["scheduled_at"] / 1000, UTC))
    return _next_time(rule, now)


def following_time(rule: Mapping[str, Any], now: datetime) -> datetime | None:
    """When the turn is due after it has run; None if it is over."""
    return None if rule["type"] == "one-time" else _next_time(rule, now)


def retry_time(tries: int, now: datetime) -> datetime | None:
    """When to try again after the failure number `tries` (from 1); None: not again."""
    if tries >= MAX_TRIES:
        return None
    return now + timedelta(seconds=FIRST_PAUSE_S * 2 ** (tries - 1))


def is_cron(expression: str) -> bool:
    """Whether this is a cron expression of five fields."""
    return len(expression.split()) == 5 and bool(croniter.is_valid(expression))


def _next_time(rule: Mapping[str, Any], now: datetime) -> datetime:
    following: datetime = croniter(rule["cron_expression"], now).get_next(datetime)
    return following
