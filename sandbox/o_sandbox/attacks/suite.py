"""Runs payloads against a tier, watches the canaries, and judges.

Lanes run side by side, each one attack after the other. A call that takes longer than its bound is
run again alone after the others, since a busy machine can delay any call: only one that is late
again and again counts as late.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final

from o_sandbox.attacks.attack import Attack, Detector
from o_sandbox.attacks.canaries import VARIABLE, Canaries, Secrets
from o_sandbox.attacks.footprint import Footprint
from o_sandbox.attacks.lane import Engines, Lane
from o_sandbox.attacks.lateness import Lateness
from o_sandbox.attacks.verdict import Suite, Verdict
from o_sandbox.protocol import Sandbox
from o_sandbox.tiers import local_tiers
from o_sandbox.tool import Tier

_WARM_UP: Final = 20
"""Attacks per lane after which the host's memory is noted for the first time."""
_SECOND_LOOKS: Final = 3
OnVerdict = Callable[[Verdict], None]


def sandbox_of(tier: Tier) -> Sandbox:
    """A sandbox of one tier for one lane: with a single worker, so that what stays in it is seen.

    It is made when it is first called, which raises `SandboxUnavailableError` where it cannot be.
    """
    return local_tiers(restricted_workers=1, offered=(tier,))


async def run_suite(
    tier: Tier,
    attacks: Sequence[Attack],
    *,
    make: Callable[[Tier], Sandbox] = sandbox_of,
    lanes: int = 2,
    on_verdict: OnVerdict = lambda _: None,
) -> Suite:
    """Run every attack that applies to `tier`.

    Args:
        tier: which payloads apply.
        attacks: payloads; those of other tiers are left out.
        make: makes a sandbox that is not started; called once per lane.
        lanes: how many run side by side, at least 1.
        on_verdict: called after each attack; must not block.

    Raises:
        SandboxUnavailableError: the machine, or this installation, lacks what the tier needs.
        SandboxError: the sandbox does not run even a clean tool.
    """
    queue = [attack for attack in attacks if tier in attack.tiers]
    suite, started = Suite(tier), time.perf_counter()
    secret = Secrets.fresh()
    async with AsyncExitStack() as stack:
        stack.enter_context(_exposed(secret))
        lateness, engines = stack.enter_context(Lateness()), Engines()
        running = [
            await _lane(stack, make(tier), tier, secret, lateness, engines) for _ in range(lanes)
        ]
        for part in (queue[: _WARM_UP * lanes], queue[_WARM_UP * lanes :]):
            await _drain(running, part, suite, on_verdict)
            suite.footprint_before = suite.footprint_before or Footprint.now()
        await _look_again(running[0], queue, suite)
        suite.footprint_after = Footprint.now()
    suite.seconds = time.perf_counter() - started
    return suite


async def _lane(
    stack: AsyncExitStack,
    sandbox: Sandbox,
    tier: Tier,
    secret: Secrets,
    lateness: Lateness,
    engines: Engines,
) -> Lane:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="o-"))
    canaries = stack.enter_context(Canaries(Path(folder), secret))
    await sandbox.start()
    stack.push_async_callback(sandbox.close)
    lane = Lane(sandbox, tier, canaries, lateness, engines)
    await lane.begin()
    return lane


async def _drain(
    lanes: Sequence[Lane], attacks: Sequence[Attack], suite: Suite, on_verdict: OnVerdict
) -> None:
    waiting = list(reversed(attacks))

    async def work(lane: Lane) -> None:
        while waiting:
            verdict = await lane.run(waiting.pop())
            suite.verdicts.append(verdict)
            on_verdict(verdict)

    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(work(lane))


async def _look_again(lane: Lane, attacks: Sequence[Attack], suite: Suite) -> None:
    """Run what was late again, alone; keeps the verdict of a run that was not."""
    by_id = {attack.id: attack for attack in attacks}
    for place, verdict in enumerate(suite.verdicts):
        for _ in range(_SECOND_LOOKS):
            if suite.verdicts[place].fired != {Detector.TIME}:
                break
            suite.again += 1
            suite.verdicts[place] = await lane.run(by_id[verdict.attack])


@contextmanager
def _exposed(secret: Secrets) -> Iterator[None]:
    """Put secrets where a careless sandbox would hand them on: environment and standard input."""
    with tempfile.TemporaryFile() as bait:
        bait.write(secret.file.encode())
        bait.seek(0)
        stdin = os.dup(0)
        os.environ[VARIABLE] = secret.variable
        os.dup2(bait.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(stdin, 0)
            os.close(stdin)
            os.environ.pop(VARIABLE, None)
