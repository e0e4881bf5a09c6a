"""What is kept of compiled tools, and for how long."""

from __future__ import annotations

import pytest

from o_sandbox.engine.bytecode import Bytecode

pytestmark = pytest.mark.unit


def test_those_that_were_used_last_are_kept() -> None:
    kept = Bytecode(room=30)
    for name in ("a", "b", "c"):
        kept.keep(name, "12345", "67890")
    assert kept.get("a", "12345") == "67890"
    kept.keep("d", "12345", "67890")
    assert [kept.get(name, "12345") for name in "abcd"] == ["67890", None, "67890", "67890"]


def test_a_tool_is_its_name_and_its_source() -> None:
    kept = Bytecode(room=1000)
    kept.keep("a", "one", "1")
    assert kept.get("a", "two") is None
    assert kept.get("b", "one") is None


def test_what_is_kept_twice_takes_its_room_once() -> None:
    kept = Bytecode(room=20)
    for _ in range(5):
        kept.keep("a", "12345", "67890")
    kept.keep("b", "12345", "67890")
    assert kept.get("a", "12345") == "67890"


def test_what_is_too_long_is_left_to_the_call() -> None:
    kept = Bytecode(room=10**6)
    source = "x" * 200_000
    assert kept.get("a", source) is None
    assert kept.keep("a", source, "y" * 100_000) == ""
    assert kept.get("a", source) == ""
    assert kept.get("a", "x" * 300_000) == ""
