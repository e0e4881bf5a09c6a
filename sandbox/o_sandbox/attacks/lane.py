"""A sandbox with bait of its own: one attack, a clean call, the next attack."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from o_sandbox.attacks import grants
from o_sandbox.attacks.attack import Attack, Detector
from o_sandbox.attacks.canaries import Canaries
from o_sandbox.attacks.footprint import engines
from o_sandbox.attacks.lateness import Lateness
from o_sandbox.attacks.probe import LIMITS, Probe
from o_sandbox.attacks.verdict import HOST_FAILURE, Verdict, is_late
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import Sandbox, SandboxError
from o_sandbox.tool import Tier

_PATIENCE_S: Final = 30.0
"""After its bound, a call that does not come back counts as the host's failure."""
_OUTPUT_SLACK_BYTES: Final = 20 * 1024
"""What an outcome may hold above its output budget: the error text."""
_MEMORY_SLACK_BYTES: Final = 32 * 1024 * 1024
"""What the process of a guest may hold besides the guest's memory."""


@dataclass(slots=True)
class Engines:
    """Processes that serve the calls of several guests, of all lanes."""

    known: frozenset[int] = frozenset()

    def new(self) -> frozenset[int]:
        """Those which were not there when this was last asked."""
        found = engines() - self.known
        self.known |= found
        return found


class Lane:
    """One sandbox and its canaries."""

    def __init__(
        self,
        sandbox: Sandbox,
        tier: Tier,
        canaries: Canaries,
        lateness: Lateness,
        all_engines: Engines,
    ) -> None:
        """`sandbox` is started; `all_engines` are shared by the lanes of a run."""
        self._sandbox, self._tier, self._canaries = sandbox, tier, canaries
        self._lateness = lateness
        self._all_engines = all_engines
        self._engines: frozenset[int] = frozenset()
        self._probe = Probe(tier)
        self._count = 10

    async def begin(self) -> None:
        """The first clean call, which leaves an argument behind for attacks to find.

        Raises:
            SandboxUnavailableError: the machine lacks what the tier needs.
            SandboxError: the sandbox does not run even a clean tool.
        """
        outcome = await self._clean_call()
        if not self._accepts(outcome):
            raise SandboxError(f"a clean call in the tier `{self._tier}` fails: {outcome}")
        self._engines = self._all_engines.new()

    async def run(self, attack: Attack) -> Verdict:
        """One attack, then a clean call."""
        started = time.monotonic()
        outcome, detail = await self._attempt(attack)
        ended = time.monotonic()
        verdict = Verdict(
            attack=attack.id,
            group=attack.group,
            reason=outcome.reason if outcome else HOST_FAILURE,
            waited_s=ended - started,
            wall_s=outcome.used.wall_s if outcome else ended - started,
            wall_budget_s=attack.limits.wall_s,
            machine_late_s=self._lateness.between(started, ended),
            cpu_s=outcome.used.cpu_s if outcome else 0.0,
            cpu_budget_s=attack.limits.cpu_s,
            fired=self._canaries.taken(_everything(outcome)),
            detail=detail,
        )
        fired = verdict.fired | _over_budget(attack, verdict, outcome) | await self._aftermath()
        return replace(verdict, fired=fired)

    async def _attempt(self, attack: Attack) -> tuple[Outcome | None, str]:
        arguments = {"t": self._canaries.targets()}
        tool = attack.tool(self._tier)
        try:
            async with asyncio.timeout(attack.bound_s + _PATIENCE_S):
                outcome = await self._sandbox.run(tool, arguments, attack.limits, grants.GRANTS)
        except Exception as error:  # noqa: BLE001 — whatever it is, a guest brought it about
            return None, f"{type(error).__name__}: {error}"
        return outcome, outcome.error[-300:]

    async def _aftermath(self) -> frozenset[Detector]:
        """What shows only after the call: in a clean one, and in what it left running."""
        fired = set()
        try:
            async with asyncio.timeout(LIMITS.wall_s + _PATIENCE_S):
                is_clean = self._accepts(await self._clean_call())
        except Exception:  # noqa: BLE001 — whatever it is, the attack before brought it about
            is_clean = False
        if not is_clean:
            fired.add(Detector.POISON)
        if not self._engines <= engines():
            fired.add(Detector.CRASH)
            self._engines = self._all_engines.new()
        return frozenset(fired | self._canaries.taken(""))

    async def _clean_call(self) -> Outcome:
        self._count += 1
        arguments = {"n": self._count, "residue": self._canaries.secret.residue}
        return await self._sandbox.run(self._probe.tool, arguments, LIMITS, {})

    def _accepts(self, outcome: Outcome) -> bool:
        return outcome.is_ok and self._probe.accepts(self._count, outcome.value)


def _over_budget(attack: Attack, verdict: Verdict, outcome: Outcome | None) -> frozenset[Detector]:
    limits, used = attack.limits, outcome.used.memory_bytes if outcome else 0
    over = {
        Detector.TIME: is_late(verdict.over_s),
        Detector.MEMORY: used > limits.memory_bytes + _MEMORY_SLACK_BYTES,
        Detector.OUTPUT: _size(outcome) > limits.output_bytes + _OUTPUT_SLACK_BYTES,
    }
    return frozenset(detector for detector, is_over in over.items() if is_over)


def _everything(outcome: Outcome | None) -> str:
    return msgspec.json.encode(outcome).decode(errors="replace")


def _size(outcome: Outcome | None) -> int:
    """Bytes that came out: both channels, the error and the value."""
    if outcome is None:
        return 0
    texts = (outcome.stdout, outcome.stderr, outcome.error)
    value = msgspec.json.encode(outcome.value)
    return len(value) + sum(len(text.encode(errors="replace")) for text in texts)
