"""Where spans of time end, which people write as days."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

_LEAST: Final = timedelta(microseconds=1)
"""What moments are told apart by."""


def last_moment(text: str) -> str:
    """A day's last moment, since a day belongs to a span as a whole; any other text as it is."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{day.isoformat()}T23:59:59.999999"


def just_after(moment: datetime | None) -> datetime | None:
    """The next moment; None, which restricts nothing, after the last one there is."""
    try:
        return None if moment is None else moment + _LEAST
    except OverflowError:
        return None
