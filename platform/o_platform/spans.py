"""Where spans of time end, which people write as days."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_LEAST: Final = timedelta(microseconds=1)
"""What moments are told apart by."""
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def last_moment(text: str) -> str:
    """A day's last moment, since a day belongs to a span as a whole; any other text as it is."""
    return f"{text}T23:59:59.999999" if _DAY.fullmatch(text) else text


def just_after(moment: datetime | None) -> datetime | None:
    """The next moment; None, which restricts nothing, after the last one there is."""
    return None if moment is None or moment >= _LAST else moment + _LEAST
