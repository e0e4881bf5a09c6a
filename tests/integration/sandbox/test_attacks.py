"""A part of the attack suite on the real tiers, and the control run that shows that it bites."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from o_platform.cli.attack_control import run_control
from o_platform.settings import Settings
from o_platform.testing import require
from o_sandbox.attacks import Group, load, run_suite, stratified
from o_sandbox.tool import Tier

pytestmark = pytest.mark.integration

SEED = 2026
PARTS: tuple[tuple[Tier, int], ...] = (
    ("restricted", 4),
    ("wasm", 16),
    ("module", 7),
    ("container", 45),
)
"""One in so many of each family: more where a call takes longer."""


@pytest.mark.parametrize(("tier", "every"), PARTS)
async def test_nothing_escapes_spoils_or_overruns(tier: Tier, every: int) -> None:
    # What the CVEs are about is RestrictedPython; elsewhere their payloads are introspection.
    attacks = [
        each
        for each in load()
        if tier in each.tiers and (each.group is not Group.CVE or tier == "restricted")
    ]
    suite = await run_suite(tier, stratified(attacks, every, SEED))
    assert len(suite.verdicts) >= 24
    assert {verdict.group for verdict in suite.verdicts} == {each.group for each in attacks}
    assert suite.failures == []


async def test_the_same_attacks_succeed_where_nothing_confines_them(short_tmp: Path) -> None:
    require("docker")
    due = [
        each
        for each in load()
        if each.fires and each.language == "python" and each.group is not Group.RESOURCES
    ]
    wanted = [each.id for each in stratified(due, 25, SEED)]
    settings = Settings(home=short_tmp / "home", run_dir=short_tmp / "run")
    results = await run_control(settings, wanted, lambda _: None)
    assert {result.attack for result in results} == set(wanted)
    assert [result for result in results if not result.held] == []


def test_the_command_says_what_it_found_and_writes_it_down(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    ran = attack("--tier", "restricted", "--only", "cve", "--no-control", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    assert "all held" in ran.stdout
    report = json.loads(out.read_text())
    counted = report["tiers"]["restricted"]
    assert counted["attacks"] == len(counted["verdicts"]) >= 49
    assert (counted["held"], counted["escaped"], counted["poisoned"]) == (True, 0, 0)
    unknown = attack("--tier", "paper")
    assert unknown.returncode == 1
    assert "no attacks on a tier 'paper'" in unknown.stderr


def attack(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "o_platform.cli.main", "sandbox", "attack", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
