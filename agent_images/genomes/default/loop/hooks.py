"""Hooks of the step loop: pure functions of a value and the genome's parameters.

`before_step(step, params)` may change the messages and settings of an LLM call,
`after_reply(reply, params)` the model's text and tool calls, `after_tool(outcome, params)` what the
model sees of a tool's return. `o_agent.hooks` documents the values; each hook returns one of the
type it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from o_agent.hooks import ToolOutcome


def after_tool(outcome: ToolOutcome, params: Mapping[str, object]) -> ToolOutcome:
    """Say plainly that a tool returned nothing, which models else take for a failure."""
    if outcome.text.strip() and outcome.text != "null":
        return outcome
    return replace(outcome, text=f"{outcome.name} finished and returned nothing.")
