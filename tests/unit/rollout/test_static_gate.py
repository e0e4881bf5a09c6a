"""What the static gate finds, and what it leaves alone."""

from __future__ import annotations

import pytest

from o_agent.behaviour import FILE as SUITE_FILE
from o_benchmarks.demo import proposals
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.rollout.gates.static import StaticReport, inspect, risk_of
from o_platform.rollout.policy import StaticRules

pytestmark = pytest.mark.unit

BASE = {"genome.toml": b"", "loop/hooks.py": b"import json\n"}
HONEST = b'''
from __future__ import annotations
import dataclasses
import re
from collections import Counter
from datetime import datetime
from o_agent.sdk import tool, when

_WORDS = re.compile(r"\\w+")


class Tally:
    def __init__(self) -> None:
        self._seen = Counter()


@tool
def word_count(text: str, input: str = "") -> int:
    """Count words."""
    kind = getattr(text, "lower")
    return len(_WORDS.findall(kind())) if __name__ else 0
'''


def check(code: bytes, path: str = "loop/hooks.py", **rules: object) -> StaticReport:
    return inspect({**BASE, path: code}, BASE, StaticRules.model_validate(rules))


def test_honest_code_passes() -> None:
    assert check(HONEST, "tools/words.py").objections == ()


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "import os.path as p",
        "from subprocess import run",
        "from . import hooks",
        "import json, socket",
        "from dataclasses import sys",
        "import random\nrandom._os.environ",
        "import statistics\nstatistics.sys.modules",
        "import operator\noperator.attrgetter('_os')(1)",
        "import operator\noperator.attrgetter('a.__class__')(1)",
        "import operator\nname = 'x'\noperator.attrgetter(name)(1)",
        "from operator import methodcaller as attrgetter\nattrgetter(*['system'])",
        "open('/etc/passwd')",
        "reader = open",
        "eval('1')",
        "exec('1')",
        "__import__('os')",
        "compile('1', '', 'eval')",
        "().__class__.__base__.__subclasses__()",
        "getattr(1, 'x' + 'y')",
        "getattr(1, '__class__')",
        "setattr(1, 'x', 2)",
        "'{0.__class__}'.format(1)",
        "vars()['x']",
        "__builtins__['open']",
        "def broken(:",
    ],
)
def test_code_that_could_reach_out_is_named_by_line(code: str) -> None:
    report = check(b"\n" + code.encode())
    assert report.objections
    assert report.objections[0].file == "loop/hooks.py"
    assert report.objections[0].line >= 2


def test_the_spy_of_the_demo_is_seen_and_its_companions_are_not() -> None:
    assert any("_os" in f.what for f in check(proposals.SPY.encode()).objections)
    for source in (proposals.CRASHES, proposals.SLOW):
        assert check(source.encode()).objections == ()


def test_a_policy_can_report_instead() -> None:
    report = check(b"import os", code_findings="report")
    assert report.objections == ()
    assert [str(note) for note in report.notes] == ["loop/hooks.py:1: imports `os`"]


def test_what_the_baseline_can_do_already_is_not_new() -> None:
    base = {**BASE, "tools/old.py": b"import os\n"}
    assert inspect({**base, "tools/new.py": b"import os"}, base, StaticRules()).objections == ()


def test_extra_imports_are_the_policys_choice() -> None:
    assert check(b"import csv").objections
    assert check(b"import csv", extra_imports=["csv"]).objections == ()


@pytest.mark.parametrize(
    "secret",
    [
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"key = AKIAABCDEFGHIJKLMNOP",
        b"token: sk-proj-abcdefghijklmnopqrstuvwx",
        b"ghp_abcdefghijklmnopqrstuvwxyz0123",
        b"xoxb-1234567890-abc",
        b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    ],
)
def test_secrets_are_refused(secret: bytes) -> None:
    report = check(b"first\n" + secret, "prompts/system.md")
    assert [(f.file, f.line) for f in report.objections] == [("prompts/system.md", 2)]


def test_too_much_text_is_refused() -> None:
    assert "allows 10" in check(b"x" * 20, "prompts/a.md", max_bytes=10).objections[0].what


def test_the_baselines_cases_are_frozen_and_new_ones_welcome() -> None:
    base = {**BASE, SUITE_FILE: b'[[case]]\nname = "a"\ninputs = ["x"]\nreply_contains = ["y"]\n'}
    more = base[SUITE_FILE] + b'[[case]]\nname = "b"\ninputs = ["x"]\n'
    assert inspect({**base, SUITE_FILE: more}, base, StaticRules()).objections == ()
    for weaker in (b"", base[SUITE_FILE].replace(b'"y"', b'"z"'), b"nonsense ="):
        objections = inspect({**base, SUITE_FILE: weaker}, base, StaticRules()).objections
        assert objections[0].file == SUITE_FILE


@pytest.mark.parametrize(
    ("path", "risk"),
    [
        ("genome.toml", "params"),
        ("blocks/p.toml", "prompts"),
        ("tools/a.py", "tools"),
        ("loop/h.py", "loop"),
    ],
)
def test_risk_is_what_was_touched(path: str, risk: str) -> None:
    assert risk_of({**BASE, path: b"# new"}, BASE) == risk
    assert risk_of({**BASE, path: b"# new", "prompts/x.md": b"x"}, BASE) in {risk, "prompts"}
    assert risk_of(BASE, {**BASE, path: b"# old"}) == risk


def test_the_seed_genome_passes_its_own_sieve() -> None:
    files = Genome.from_dir(seed_genome_dir()).files
    assert inspect(files, {}, StaticRules()).objections == ()


def test_the_same_genome_has_the_lowest_risk() -> None:
    assert risk_of(BASE, BASE) == "params"
