"""What is remembered of an attempt is readable, findable and honest about what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from o_platform.evolution.prompt import ProposalContext, proposal_messages
from o_platform.evolution.record import AttemptRecord, lesson, passage_tags, passage_text

pytestmark = pytest.mark.unit

PROMOTED = AttemptRecord(
    attempt_id="attempt-1",
    variant="a" * 64,
    operator="llm_edit",
    risk="params",
    hypothesis="A shorter history lowers the tokens of each prompt.",
    predicted={"metric": "prompt_tokens", "change_percent": -40.0},
    measured={"prompt_tokens": -36.2, "latency_ms": -3.0},
    outcome="promoted",
    stopped_by=None,
    reason="every gate passed",
    diff="-value = 60\n+value = 24",
)


def test_a_promoted_attempt_compares_prediction_and_measurement() -> None:
    text = passage_text(PROMOTED)
    assert "Predicted -40.0 % on prompt_tokens, measured -36.2 %." in text
    assert "+value = 24" in text


def test_a_stopped_attempt_says_which_gate_and_why() -> None:
    stopped = replace(
        PROMOTED, outcome="rejected", stopped_by="load", reason="p99 was 3.1x stable's", measured={}
    )
    assert lesson(stopped) == "The gate load stopped it: p99 was 3.1x stable's"
    assert "gate:load" in passage_tags(stopped)
    assert "nothing (it was stopped before it could be measured)" in passage_text(stopped)


def test_a_long_diff_is_cut_with_a_note() -> None:
    text = passage_text(replace(PROMOTED, diff="x" * 5_000))
    assert "… (3000 more characters)" in text


def test_the_proposer_sees_memory_failures_and_genome() -> None:
    context = ProposalContext(
        lineage="default",
        genome={"genome.toml": b"value = 60\n", "prompts/big.md": b"y" * 20_000},
        attempt_count=3,
        remembered=[passage_text(PROMOTED)],
        failures=["502 llm_timeout, 3 times"],
    )
    user = proposal_messages(context)[1].content
    assert isinstance(user, str)
    assert "Attempts so far: 3" in user
    assert "measured -36.2 %" in user
    assert "502 llm_timeout" in user
    assert "value = 60" in user
    assert "prompts/big.md (20000 characters, not shown)" in user
