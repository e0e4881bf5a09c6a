"""What is kept for a subscriber who is busy."""

from __future__ import annotations

import pytest

from o_platform.db.announcements import Announcement
from o_platform.db.hearing import MOST_HEARD, News, Subscription

pytestmark = pytest.mark.unit


async def test_more_than_is_kept_is_a_gap() -> None:
    subscription = Subscription(frozenset({"files"}))
    told = [Announcement("files", str(number)) for number in range(MOST_HEARD + 5)]
    for one in told[:MOST_HEARD]:
        subscription.tell(one)
    assert await subscription.wait() == News(told[:MOST_HEARD], False)
    for one in told:
        subscription.tell(one)
    assert await subscription.wait() == News([], True)
    subscription.tell(told[0])
    assert await subscription.wait() == News(told[:1], False)
