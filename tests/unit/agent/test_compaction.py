"""What of a window a summary stands for, and what the summarizing model reads."""

from __future__ import annotations

import msgspec
import pytest

from o_agent.compaction import (
    CompactionSettings,
    clipped,
    settings_of,
    summarized_count,
    summary_request,
    transcript,
)
from o_agent.llm_messages import Unit, encode_unit
from o_contracts.llm import LlmMessage
from o_contracts.messages import ToolCall

pytestmark = pytest.mark.unit
SLIDING = CompactionSettings()
ALL = CompactionSettings(mode="all")


def said(role: str, text: str, number: int) -> Unit:
    return encode_unit(LlmMessage(role, text), 1, f"message-{number}")  # type: ignore[arg-type]


def talk(count: int) -> list[Unit]:
    return [said("user", "x" * 100, n) for n in range(count)]


def calls_and_return() -> list[Unit]:
    call = LlmMessage("assistant", None, [ToolCall("c", "look", "{}")])
    returned = encode_unit(LlmMessage("tool", "y" * 100, None, "c"), 1, "message-9")
    return [encode_unit(call, 1, "message-8"), returned]


@pytest.mark.parametrize(("share", "kept"), [(0.3, 3), (0.5, 5), (0.0, 0), (1.0, 9)])
def test_the_newest_part_stays(share: float, kept: int) -> None:
    settings = CompactionSettings(sliding_window_percentage=share)
    assert summarized_count(talk(10), settings) == 10 - kept


def test_a_window_never_begins_with_a_return_or_a_reminder() -> None:
    reminder = encode_unit(LlmMessage("user", "call it"), 0)
    units = [*talk(6), *calls_and_return(), reminder]
    half = CompactionSettings(sliding_window_percentage=0.22)
    assert summarized_count(units, half) == len(units)
    assert summarized_count([*units, said("user", "hi", 10)], half) == len(units)


def test_calls_that_are_being_answered_stay() -> None:
    units = [*talk(4), calls_and_return()[0]]
    assert summarized_count(units, ALL) == 5
    assert summarized_count(units, ALL, keep_calls=True) == 4


def test_a_transcript_says_what_it_leaves_out() -> None:
    units = [said("user", "a" * 10_000, 1), *calls_and_return()]
    text = transcript(units, 1 << 20)
    assert text.startswith("user: " + "a" * 100)
    assert "[2000 more characters]" in text
    assert "[calls look with {}]" in text
    short = transcript(units, 1_500)
    assert "[9000 more characters]" in short
    assert "characters left out]" in transcript(talk(400), 2_000)
    assert len(transcript(talk(400), 2_000)) < 2_100


def test_a_request_for_a_summary() -> None:
    system = encode_unit(LlmMessage("system", "be kind"), 0).raw
    request = summary_request(talk(2), SLIDING, system, "o/echo", 1_000)
    assert [m.role for m in request.messages] == ["system", "user"]
    given = settings_of(
        {
            "mode": "self_compact_all",
            "model": None,
            "prompt": "Sum up.",
            "prompt_acknowledgement": True,
            "model_settings": {"temperature": 0.1, "max_output_tokens": 9, "other": 1},
            "unknown": 1,
        }
    )
    own = summary_request(talk(2), given, system, "openai/x", 0)
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(own.messages), type=list[LlmMessage])
    assert [m.role for m in decoded] == ["system", "user", "user", "user"]
    assert str(decoded[-1].content).startswith("Sum up.\n\nAnswer with")
    assert own.settings == {"temperature": 0.1, "max_tokens": 9}
    assert settings_of({"mode": "no such"}) == CompactionSettings()


def test_a_summary_is_cut_audibly() -> None:
    assert clipped("abc", None) == clipped("abc", 3) == "abc"
    assert clipped("abcd", 3) == "abc\n[the summary was cut at 3 characters]"
