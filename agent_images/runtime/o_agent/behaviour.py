"""A genome's own tests, `tests/behaviour.toml`: conversations and what must be true of the answers.

Each `[[case]]` is run on an agent of its own: its `inputs` are sent one after the other, and the
last response is judged. The contract gate of a rollout runs them against a candidate's container;
what is judged is what came over the wire.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from o_agent.genome import GenomeError

FILE = "tests/behaviour.toml"


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One conversation. An absent expectation is not judged.

    `max_steps` is sent with each input; `most_steps` bounds the steps that were used.
    """

    name: str
    inputs: list[str]
    max_steps: int | None = None
    reply_contains: list[str] = []
    reply_lacks: list[str] = []
    stop_reason: str | None = None
    tools_called: list[str] = []
    most_steps: int | None = None


class BehaviourFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tests/behaviour.toml`."""

    case: list[Case] = []


def parse_cases(data: bytes) -> list[Case]:
    """The cases in the bytes of a `behaviour.toml`.

    Raises:
        GenomeError: they have another form, or a case says nothing.
    """
    try:
        cases = msgspec.convert(tomllib.loads(data.decode()), BehaviourFile).case
    except (ValueError, msgspec.ValidationError) as error:
        raise GenomeError(FILE, str(error)) from error
    for case in cases:
        if not case.inputs:
            raise GenomeError(FILE, f"case {case.name!r} has no inputs")
    return cases


def problems(case: Case, response: Mapping[str, Any]) -> list[str]:
    """What a turn's response (the parsed JSON body) lacks of a case; empty if all is well."""
    messages = response.get("messages", [])
    reply = "\n".join(
        str(m.get("content")) for m in messages if m.get("message_type") == "assistant_message"
    )
    called = {
        call.get("name")
        for m in messages
        if m.get("message_type") == "tool_call_message"
        for call in m.get("tool_calls") or []
    }
    stop = (response.get("stop_reason") or {}).get("stop_reason")
    steps = (response.get("usage") or {}).get("step_count") or 0
    found = [f"the reply lacks {text!r}" for text in case.reply_contains if text not in reply]
    found += [f"the reply contains {text!r}" for text in case.reply_lacks if text in reply]
    found += [f"{tool} was not called" for tool in case.tools_called if tool not in called]
    if case.stop_reason is not None and stop != case.stop_reason:
        found.append(f"it stopped with {stop!r}, not {case.stop_reason!r}")
    if case.most_steps is not None and steps > case.most_steps:
        found.append(f"it took {steps} steps, more than {case.most_steps}")
    return found
