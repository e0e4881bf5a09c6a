"""A proposal: one change to a genome, with the reason for it and a prediction to be held to.

The model answers with one JSON object; everything in it is untrusted. Parsing and applying it are
pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from o_platform.errors import BadInputError

RISKS: Final = ("params", "prompts", "tools", "loop")
"""Risk classes, lowest first; a proposal's class is that of the riskiest file it touches."""
METRICS: Final = ("prompt_tokens", "latency_ms", "error_rate", "quality")
MAX_EDITS: Final = 20
MAX_FILE_CHARS: Final = 100_000

_FENCE = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_RISK_BY_FOLDER: Final[Mapping[str, str]] = {
    "prompts": "prompts",
    "blocks": "prompts",
    "tools": "tools",
    "tests": "tools",
    "loop": "loop",
}


class Predicted(Struct, frozen=True):
    """What the proposer expects: `metric` changes by `change_percent` (negative: goes down)."""

    metric: Literal["prompt_tokens", "latency_ms", "error_rate", "quality"]
    change_percent: Annotated[float, Meta(ge=-100, le=1000)]


class Edit(Struct, frozen=True, omit_defaults=True):
    """One file of the genome: its whole new text, or its removal when `content` is absent."""

    path: Annotated[str, Meta(min_length=1, max_length=200)]
    content: Annotated[str, Meta(max_length=MAX_FILE_CHARS)] | None = None


class Proposal(Struct, frozen=True):
    """What a proposer answers."""

    hypothesis: Annotated[str, Meta(min_length=10, max_length=2000)]
    predicted: Predicted
    edits: Annotated[list[Edit], Meta(min_length=1, max_length=MAX_EDITS)]
    operator: str = "llm_edit"


def parse_proposal(text: str) -> Proposal:
    """The proposal in a model's reply: a JSON object, bare or in a fenced block.

    Raises:
        BadInputError: no JSON object, or one of another shape; the message names the field.
    """
    fenced = _FENCE.search(text)
    candidate = fenced.group(1) if fenced else text[text.find("{") : text.rfind("}") + 1]
    if not candidate:
        raise BadInputError(f"the proposer answered without a JSON object: {text[:200]!r}")
    try:
        return msgspec.json.decode(candidate, type=Proposal)
    except msgspec.MsgspecError as error:
        raise BadInputError(f"the proposal is malformed: {error}") from error


def risk_class(edits: list[Edit]) -> str:
    """The class of the riskiest file touched, one of `RISKS`."""
    classes = [_RISK_BY_FOLDER.get(edit.path.partition("/")[0], "params") for edit in edits]
    return max(classes, key=RISKS.index)


def apply_edits(files: Mapping[str, bytes], edits: list[Edit]) -> dict[str, bytes]:
    """The genome's files after the edits; `files` maps path to content.

    Raises:
        BadInputError: a file to be removed does not exist, or nothing changes.
    """
    changed = dict(files)
    for edit in edits:
        if edit.content is not None:
            changed[edit.path] = edit.content.encode()
        elif changed.pop(edit.path, None) is None:
            raise BadInputError(f"the proposal removes {edit.path!r}, which the genome lacks")
    if changed == dict(files):
        raise BadInputError("the proposal changes nothing; name an edit with an effect")
    return changed
