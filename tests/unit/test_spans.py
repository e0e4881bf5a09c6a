"""Where spans of time end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from o_platform.spans import just_after, last_moment

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("day", ["2026-01-31", "20260131", "2026-W05-6"])
def test_a_day_belongs_to_its_span_however_it_is_written(day: str) -> None:
    assert last_moment(day) == "2026-01-31T23:59:59.999999"


@pytest.mark.parametrize("text", ["2026-01-31T12:00", "yesterday", "", "2026-02-30"])
def test_what_is_no_day_stays_as_it_is(text: str) -> None:
    assert last_moment(text) == text


def test_the_next_moment_follows_as_long_as_there_is_one() -> None:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    assert just_after(moment) == moment + timedelta(microseconds=1)
    assert just_after(None) is None
    for hours in (-5, 0, 5):
        last = datetime.max.replace(tzinfo=timezone(timedelta(hours=hours)))
        assert just_after(last) is None
