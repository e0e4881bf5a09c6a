"""`o sandbox attack`: the control run, the suite on each tier, and the report of all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from o_platform.cli import attack_report
from o_platform.cli.attack_control import run_control
from o_platform.cli.configuration import load_settings
from o_platform.cli.terminal import say, warn
from o_platform.errors import EngineUnavailableError, SetupError
from o_sandbox.attacks import Attack, Suite, load, run_suite, stratified
from o_sandbox.attacks.control import Control
from o_sandbox.protocol import SandboxUnavailableError
from o_sandbox.tool import Tier

EVERY_TIER: Final = "all"
_LEAST_FIRED: Final = 0.95
"""Part of the payloads that must succeed in the control run, or the suite proves too little."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to run; see the command's options."""

    tiers: tuple[str, ...]
    only: tuple[str, ...]
    every: int
    seed: int
    lanes: int
    control: bool
    out: Path | None


def run(request: Request) -> bool:
    """Run, and show what came of it; whether all held.

    Raises:
        SetupError: a tier or a name is unknown, or the machine lacks what a tier needs.
    """
    chosen = _chosen(request, _tiers(request.tiers))
    controls = _controls(dict.fromkeys(each for of in chosen.values() for each in of), request)
    suites = []
    for tier, attacks in chosen.items():
        suites.append(_suite(tier, request.lanes, attacks))
        attack_report.show(suites[-1], controls)
    attack_report.show_control(controls, wanted=request.control)
    if request.out:
        request.out.write_text(json.dumps(attack_report.as_json(suites, controls), indent=1) + "\n")
        say(f"the whole report is in {request.out}")
    return all(suite.held for suite in suites) and _control_held(controls)


def _tiers(names: Sequence[str]) -> list[Tier]:
    known: tuple[Tier, ...] = get_args(Tier)
    with_attacks = [tier for tier in known if any(tier in each.tiers for each in load())]
    if EVERY_TIER in names:
        return with_attacks
    if unknown := set(names) - set(with_attacks):
        raise SetupError(
            f"there are no attacks on a tier {sorted(unknown)[0]!r}, only on "
            f"{', '.join(with_attacks)}; `{EVERY_TIER}` means all of them"
        )
    return [tier for tier in with_attacks if tier in names]


def _chosen(request: Request, tiers: Sequence[Tier]) -> dict[Tier, tuple[Attack, ...]]:
    """The attacks for each tier that has any of these names."""
    named = set(request.only)
    attacks = [each for each in load() if not named or {each.id, each.family, each.group} & named]
    chosen = {
        tier: stratified(
            [each for each in attacks if tier in each.tiers], request.every, request.seed
        )
        for tier in tiers
    }
    if not any(chosen.values()):
        raise SetupError(f"no attack on {', '.join(tiers)} is called {', '.join(request.only)}")
    return {tier: of_tier for tier, of_tier in chosen.items() if of_tier}


def _controls(attacks: dict[Attack, None], request: Request) -> list[Control]:
    wanted = [each.id for each in attacks if each.language == "python"]
    if not wanted or not request.control:
        return []
    try:
        with _progress() as progress:
            task = progress.add_task("control, unconfined", total=len(wanted))
            seen = run_control(load_settings(), wanted, lambda _: progress.advance(task))
            return asyncio.run(seen)
    except EngineUnavailableError as error:
        warn(f"the control run is left out: {error.message}")
        return []


def _suite(tier: Tier, lanes: int, attacks: Sequence[Attack]) -> Suite:
    try:
        with _progress() as progress:
            task = progress.add_task(f"tier {tier}", total=len(attacks))
            running = run_suite(
                tier, attacks, lanes=lanes, on_verdict=lambda _: progress.advance(task)
            )
            return asyncio.run(running)
    except SandboxUnavailableError as error:
        raise SetupError(f"the tier {tier!r} does not run here: {error}") from error


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        transient=True,
    )


def _control_held(controls: Sequence[Control]) -> bool:
    due = [each for each in controls if each.expected]
    fired = sum(each.held for each in due)
    return not due or fired >= _LEAST_FIRED * len(due)
