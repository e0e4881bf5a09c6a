"""The static gate: reads a genome against its baseline, before anything is built or run.

It refuses secrets, too much text, a changed or missing case of the baseline's behaviour suite (a
variant may add to what judges it, never take away), and code with a capability that neither the
allow-list nor the baseline's own code has. It also tells the change's risk class, by which the
policy asks for a person or not: the proposer has no say in that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from o_agent.behaviour import FILE as SUITE_FILE
from o_agent.behaviour import parse_cases
from o_agent.genome import GenomeError
from o_platform.rollout.gates import capabilities
from o_platform.rollout.gates.capabilities import Finding
from o_platform.rollout.policy import RISKS, Risk, StaticRules

_FOLDER_RISK: Final[Mapping[str, Risk]] = {
    "genome.toml": "params",
    "tests": "params",
    "prompts": "prompts",
    "blocks": "prompts",
    "tools": "tools",
    "loop": "loop",
}
_SECRETS: Final = (
    ("a private key", re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    ("an AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a provider's API key", re.compile(rb"\b(?:sk|gsk|rk|pk)[-_][A-Za-z0-9_-]{20,}")),
    ("a GitHub token", re.compile(rb"\b(?:ghp|gho|ghs|ghr|github_pat)_[A-Za-z0-9_]{20,}")),
    ("a Slack token", re.compile(rb"\bxox[abprs]-[A-Za-z0-9-]{10,}")),
    ("a signed token", re.compile(rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.")),
)


@dataclass(frozen=True, slots=True)
class StaticReport:
    """What was found. `objections` refuse the variant; `notes` are told to operators."""

    objections: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    risk: Risk


def inspect(
    candidate: Mapping[str, bytes], baseline: Mapping[str, bytes], rules: StaticRules
) -> StaticReport:
    """Compare a genome's files (contents by path) with its baseline's."""
    objections = [*_size(candidate, rules), *_secrets(candidate), *_frozen(candidate, baseline)]
    new_code = _new_capabilities(candidate, baseline, rules)
    if rules.code_findings == "reject":
        objections += new_code
        new_code = []
    return StaticReport(tuple(objections), tuple(new_code), risk_of(candidate, baseline))


def risk_of(candidate: Mapping[str, bytes], baseline: Mapping[str, bytes]) -> Risk:
    """The highest risk class among the files that differ."""
    paths = candidate.keys() | baseline.keys()
    changed = [path for path in paths if candidate.get(path) != baseline.get(path)]
    risks = [_FOLDER_RISK.get(path.split("/")[0], "loop") for path in changed]
    return max(risks, key=RISKS.index, default="params")


def _size(files: Mapping[str, bytes], rules: StaticRules) -> list[Finding]:
    size = sum(map(len, files.values()))
    if size <= rules.max_bytes:
        return []
    largest = max(files, key=lambda path: len(files[path]))
    what = f"the genome has {size} bytes, the policy allows {rules.max_bytes}; this is its largest"
    return [Finding(largest, 1, what)]


def _secrets(files: Mapping[str, bytes]) -> list[Finding]:
    found = []
    for path, data in sorted(files.items()):
        for name, pattern in _SECRETS:
            match = pattern.search(data)
            if match:
                line = data.count(b"\n", 0, match.start()) + 1
                found.append(Finding(path, line, f"holds what looks like {name}"))
    return found


def _frozen(candidate: Mapping[str, bytes], baseline: Mapping[str, bytes]) -> list[Finding]:
    try:
        ours = {case.name: case for case in parse_cases(candidate.get(SUITE_FILE, b""))}
    except GenomeError as error:
        return [Finding(SUITE_FILE, 1, str(error))]
    return [
        Finding(SUITE_FILE, 1, f"changes or drops the frozen case {case.name!r} of the baseline")
        for case in parse_cases(baseline.get(SUITE_FILE, b""))
        if ours.get(case.name) != case
    ]


def _new_capabilities(
    candidate: Mapping[str, bytes], baseline: Mapping[str, bytes], rules: StaticRules
) -> list[Finding]:
    allowed = capabilities.ALLOWED_MODULES | frozenset(rules.extra_imports)
    known = {finding.capability for finding in capabilities.findings(baseline, allowed)}
    return [f for f in capabilities.findings(candidate, allowed) if f.capability not in known]
