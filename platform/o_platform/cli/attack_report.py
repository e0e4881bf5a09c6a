"""What `o sandbox attack` says of a run, and writes to a file."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from o_platform.cli.terminal import print_table, say, warn
from o_sandbox import attacks
from o_sandbox.attacks import Suite, Verdict
from o_sandbox.attacks.attack import GRACE_S
from o_sandbox.attacks.control import Control
from o_sandbox.attacks.verdict import MAX_GROWTH_BYTES, counts

_SHOWN: Final = 20
_COLUMNS: Final = (
    "group", "attacks", "escaped", "poisoned", "over budget", "host failed", "most over s",
    "control",
)  # fmt: skip


def show(suite: Suite, controls: Sequence[Control]) -> None:
    """Print what came of the suite on one tier, by group."""
    say(f"tier {suite.tier}: {len(suite.verdicts)} attacks in {suite.seconds:.0f} s")
    print_table(_COLUMNS, _rows(suite, {each.attack: each for each in controls}))
    for each in suite.failures[:_SHOWN]:
        took = f"{each.wall_s:.2f} of {each.wall_budget_s:g} s"
        took += f", CPU {each.cpu_s:.2f} of {each.cpu_budget_s:g} s"
        what = ", ".join(sorted(each.fired)) or each.reason
        warn(f"{each.attack}: {what} ({took}) {each.detail[-160:]}")
    growth, allowed = suite.growth_bytes / 1e6, MAX_GROWTH_BYTES / 1e6
    say(f"memory of the host: {growth:+.1f} MB over the suite ({allowed:.0f} allowed)")
    if suite.again:
        say(f"{suite.again} calls were late while others ran and were run again alone")
    say(f"tier {suite.tier}: " + ("all held" if suite.held else "NOT held"))


def show_control(controls: Sequence[Control], *, wanted: bool) -> None:
    """Print how many payloads succeeded where nothing confined them."""
    due = [each for each in controls if each.expected]
    if not due:
        if wanted:
            warn("no control run: nothing shows here that these attacks work at all")
        return
    silent = [each.attack for each in due if not each.held]
    say(f"control run on plain CPython: {len(due) - len(silent)} of {len(due)} fired")
    if silent:
        say(f"  silent here: {', '.join(silent[:_SHOWN])}")


def as_json(suites: Sequence[Suite], controls: Sequence[Control]) -> dict[str, Any]:
    """The whole report, JSON-ready."""
    due = [each for each in controls if each.expected]
    return {
        "command": ["o", *sys.argv[1:]],
        "machine": _machine(),
        "grace_s": GRACE_S,
        "control": {"fired": sum(each.held for each in due), "of": len(due)},
        "tiers": {suite.tier: attacks.as_json(suite) for suite in suites},
        "controls": [json.loads(each.line()) for each in controls],
    }


def _rows(suite: Suite, controls: Mapping[str, Control]) -> Iterator[tuple[object, ...]]:
    for group in dict.fromkeys(each.group for each in suite.verdicts):
        of_group = [each for each in suite.verdicts if each.group == group]
        yield (group, *_row(of_group, controls))
    yield ("all", *_row(suite.verdicts, controls))


def _row(verdicts: Sequence[Verdict], controls: Mapping[str, Control]) -> tuple[object, ...]:
    ran = [controls[each.attack] for each in verdicts if each.attack in controls]
    due = [each for each in ran if each.expected]
    fired = f"{sum(each.held for each in due)} of {len(due)}" if due else ""
    return (*counts(verdicts).values(), fired)


def _machine() -> dict[str, object]:
    return {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "wasmtime": version("wasmtime"),
        "load": round(os.getloadavg()[0], 2),
    }
