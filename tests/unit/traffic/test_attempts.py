"""Lines of the upstream log as observations."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_platform.traffic.upstream_log import parse_attempt

pytestmark = pytest.mark.unit
AGENT = "agent-0000002a-beef-4aaa-8bbb-cccccccccccc"


def _line(**changes: Any) -> bytes:
    entry = {
        "at": "1790000000.250000",
        "cluster": "canary-0123456789ab-aaaaaaaaaaaa",
        "host": "/run/o/instances/0123456789ab/in/agent.sock",
        "status": 200,
        "flags": "-",
        "us": 1500,
        "first_us": 900,
        "request": "r-1",
        "attempt": "2",
        "path": f"/v1/agents/{AGENT}/messages?x=1",
    }
    return json.dumps({**entry, **changes}).encode()


def test_a_good_attempt() -> None:
    seen = parse_attempt(_line())
    assert seen is not None
    assert seen.at == datetime.fromtimestamp(1790000000.25, UTC)
    assert (seen.instance_id, seen.routing_key) == ("0123456789ab", "0000002a-beef")
    assert (seen.status, seen.died, seen.cancelled, seen.mirrored) == (200, False, False, False)
    assert (seen.duration_us, seen.first_byte_us, seen.attempt) == (1500, 900, 2)


@pytest.mark.parametrize(
    ("changes", "status", "died", "cancelled"),
    [
        ({"status": 0, "flags": "UC", "us": None}, 0, True, False),
        ({"status": 0, "flags": "UF", "us": None}, 0, True, False),
        ({"status": 200, "flags": "UPE"}, 0, True, False),
        ({"status": 0, "flags": "-", "us": None}, 0, False, True),
        ({"status": 503, "flags": "-"}, 503, False, False),
    ],
)
def test_how_attempts_end(
    changes: dict[str, Any], status: int, died: bool, cancelled: bool
) -> None:
    seen = parse_attempt(_line(**changes))
    assert seen is not None
    assert (seen.status, seen.died, seen.cancelled) == (status, died, cancelled)


def test_other_attempts_are_no_observations() -> None:
    assert parse_attempt(_line(host="/run/o/control.sock")) is None
    assert parse_attempt(_line(host=None)) is None


@given(
    st.binary(max_size=60) | st.dictionaries(st.text(), st.text()).map(json.dumps).map(str.encode)
)
def test_unreadable_lines_are_told_and_passed_over(line: bytes) -> None:
    logging.disable()
    try:
        assert parse_attempt(line) is None
    finally:
        logging.disable(logging.NOTSET)
