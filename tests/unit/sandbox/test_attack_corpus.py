"""The corpus is what the suite says it is: many, distinct, readable, and all of the named CVEs."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from o_sandbox.attacks import Attack, Detector, Group, load, stratified
from o_sandbox.attacks.corpus import CorpusError, parse

pytestmark = pytest.mark.unit

CVES = (
    "2023-37271", "2023-41039", "2024-47532", "2025-22153", "2026-55830", "2026-76825",
    "2026-53710",
)  # fmt: skip


def skeleton(attack: Attack) -> str:
    """The code without its names, numbers and texts: equal ones would be renamed copies."""
    tree = ast.parse(attack.code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = "x"
    return ast.dump(tree)


def test_there_are_more_than_five_hundred_and_no_two_are_the_same() -> None:
    attacks = load()
    assert len(attacks) >= 500
    python = [each for each in attacks if each.language == "python"]
    copies = [code for code, n in Counter(map(skeleton, python)).items() if n > 1]
    assert not copies, f"{len(copies)} payloads are renamed copies of others"
    tries = Counter(each.tries for each in attacks)
    assert [text for text, n in tries.items() if n > 1] == []


def test_every_group_has_payloads_and_every_named_cve_has_several() -> None:
    attacks = load()
    assert {each.group for each in attacks} == set(Group)
    for number in CVES:
        assert sum(each.family == f"cve-{number}" for each in attacks) >= 3, number


def test_almost_all_payloads_must_fire_when_nothing_confines_them() -> None:
    python = [each for each in load() if each.language == "python"]
    due = [each for each in python if each.fires]
    assert len(due) >= 500
    assert {detector for each in due for detector in each.fires} == set(Detector) - {Detector.CRASH}


def test_a_part_has_every_family_and_is_drawn_by_its_seed() -> None:
    attacks = load()
    part = stratified(attacks, 8, seed=3)
    assert part == stratified(attacks, 8, seed=3)
    assert part != stratified(attacks, 8, seed=4)
    assert len(part) < len(attacks) / 6
    assert {each.family for each in part} == {each.family for each in attacks}
    assert stratified(attacks, 1) == attacks


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# %% a -> nonsense\n# It tries.\nx = 1\n", "'nonsense' is not a valid Detector"),
        ("# %% a [speed=9]\n# It tries.\nx = 1\n", "unknown options"),
        ("# %% a [tiers=module]\n# It tries.\nx = 1\n", "no tiers of python"),
        ("# %% a\ndef attack(t): ...\n", "says what the payload tries"),
        ("# %% Not A Name\n# It tries.\n", "not a header"),
    ],
)
def test_a_broken_cell_is_named_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(CorpusError, match=re.escape(complaint)) as raised:
        list(parse("some.payloads", Group.HOST, text))
    assert "some.payloads:1" in str(raised.value)
