"""What hooks may return, and what becomes of those that do otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from o_agent.hooks import LONGEST_REASON, HookError, Reply, Step, ToolOutcome, apply_hook
from o_contracts.llm import LlmMessage
from o_contracts.messages import ToolCall

pytestmark = pytest.mark.unit

STEP = Step(0, [LlmMessage("user", "hi")], {"temperature": 0.5})
REPLY = Reply("hello", [ToolCall("c", "look", "{}")])


def test_a_value_of_the_same_shape_is_taken() -> None:
    hook = lambda step, params: replace(step, settings={**step.settings, **params})  # noqa: E731
    assert apply_hook(hook, STEP, {"max_tokens": 5}) == replace(
        STEP, settings={"temperature": 0.5, "max_tokens": 5}
    )
    assert apply_hook(lambda reply, _: reply, REPLY, {}) == REPLY


@pytest.mark.parametrize(
    ("value", "hook"),
    [
        (REPLY, lambda reply, _: reply.text),
        (REPLY, lambda _reply, _: Reply(5, [])),
        (REPLY, lambda _reply, _: Reply("half a pair \ud800", [])),
        (REPLY, lambda _reply, _: Reply("x", None)),
        (STEP, lambda step, _: replace(step, messages=[{"role": "king"}])),
        (STEP, lambda step, _: replace(step, settings={"stop": object()})),
        (ToolOutcome("look", False, "x"), lambda outcome, _: replace(outcome, text=None)),
    ],
)
def test_any_other_value_is_the_hooks_error(value: Any, hook: Callable[..., Any]) -> None:
    with pytest.raises(HookError, match="returned"):
        apply_hook(hook, value, {})


def test_what_a_hook_raises_is_cut_and_can_be_sent() -> None:
    def fail(reply: Reply, params: object) -> Reply:
        raise ValueError("\ud800" + "x" * 10_000)

    with pytest.raises(HookError, match="fail raised ValueError") as caught:
        apply_hook(fail, REPLY, {})
    assert len(str(caught.value).encode()) == LONGEST_REASON
