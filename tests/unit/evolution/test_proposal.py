"""Proposals are parsed strictly and applied whole."""

from __future__ import annotations

import json

import pytest

from o_platform.errors import BadInputError
from o_platform.evolution.proposal import Edit, apply_edits, parse_proposal, risk_class

pytestmark = pytest.mark.unit

VALID = {
    "hypothesis": "A shorter history lowers the tokens of each prompt.",
    "predicted": {"metric": "prompt_tokens", "change_percent": -40.0},
    "edits": [{"path": "genome.toml", "content": "x = 1\n"}],
}


@pytest.mark.parametrize(
    "wrapped",
    [
        "{}",
        "Here it is:\n```json\n{}\n```\nGood luck.",
        "I propose {} as my answer.",
    ],
)
def test_a_proposal_is_found_bare_fenced_or_in_prose(wrapped: str) -> None:
    proposal = parse_proposal(wrapped.replace("{}", json.dumps(VALID)))
    assert proposal.predicted.change_percent == -40.0
    assert proposal.edits == [Edit("genome.toml", "x = 1\n")]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hypothesis": "short"}, "hypothesis"),
        ({"predicted": {"metric": "vibes", "change_percent": 1}}, "predicted.metric"),
        ({"edits": []}, "edits"),
        ({"edits": [{"content": "x"}]}, "path"),
    ],
)
def test_a_malformed_proposal_names_the_field(change: dict[str, object], named: str) -> None:
    with pytest.raises(BadInputError, match="malformed") as caught:
        parse_proposal(json.dumps(VALID | change))
    assert named in caught.value.message


def test_a_reply_without_json_is_refused() -> None:
    with pytest.raises(BadInputError, match="without a JSON object"):
        parse_proposal("I would rather not.")


def test_the_riskiest_file_decides_the_class() -> None:
    assert risk_class([Edit("genome.toml", "")]) == "params"
    assert risk_class([Edit("genome.toml", ""), Edit("prompts/system.md", "")]) == "prompts"
    assert risk_class([Edit("loop/hooks.py", ""), Edit("tools/a.py", "")]) == "loop"


def test_edits_write_and_remove() -> None:
    files = {"genome.toml": b"a", "tools/old.py": b"b"}
    after = apply_edits(files, [Edit("genome.toml", "c"), Edit("tools/old.py")])
    assert after == {"genome.toml": b"c"}
    assert files["genome.toml"] == b"a"


def test_an_edit_without_an_effect_is_an_error() -> None:
    with pytest.raises(BadInputError, match="changes nothing"):
        apply_edits({"genome.toml": b"a"}, [Edit("genome.toml", "a")])
    with pytest.raises(BadInputError, match="lacks"):
        apply_edits({"genome.toml": b"a"}, [Edit("tools/none.py")])
