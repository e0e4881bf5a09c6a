"""The gates that live traffic decides: shadow, canary and watch, one look at a time.

A look takes what Envoy logged since the last one, asks the engine what the candidate's instance
used, and judges both. Where traffic is too thin for the shadow gate and the policy says so, the
missing requests are made on a pair of bench instances.

Both sides of a comparison are observed at the same time, so that a change of the machine's load is
no difference between them. In the canary both answer live turns. In the shadow gate the candidate
answers copies of turns, and in the watch the former variant does. A copy took 0.73 to 0.97 times as
long as its original at a load average of 3 to 6 on two cores, and 0.4 to 0.7 times at 8 (`make
bench` prints it as `abort.shadow_ratio`): its commit is not made durable, which saves more than its
wait for the original costs. The shadow gate is more lenient by that, and the watch takes out what
the rollout itself measured of it (`evidence`). While the candidate is so overloaded that it opens
turns late, its copies wait with it and the ratio shrinks; the canary, at half of the load, and the
failures show such a variant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from o_platform.db.engine import Database
from o_platform.errors import BuildError, ForbiddenError, NotFoundError, NotReadyError
from o_platform.rollout import repository
from o_platform.rollout.case import Case
from o_platform.rollout.evidence import Evidence
from o_platform.rollout.gates.contract import check_usage
from o_platform.rollout.gates.load import LoadError
from o_platform.rollout.gates.suite import GateSuite
from o_platform.rollout.judgement import judge
from o_platform.rollout.machine import Breach, Look
from o_platform.rollout.observations import ObservationHub
from o_platform.rollout.policy import LoadRules, TrafficRules
from o_platform.rollout.ports import Attempt, FleetPort
from o_platform.rollout.states import Hold, Phase, Reason
from o_platform.settings import Settings

NO_ORIGINAL: Final = 409
"""HTTP status of a shadow's turn whose original did not open (`bridge.shadow`)."""
DEMAND_RPS: Final = 20.0
DEMAND_WINDOW_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Sides:
    candidate: set[str]
    baseline: set[str]


class LiveGates:
    """Looks at rollouts that live traffic judges."""

    def __init__(
        self,
        database: Database,
        fleet: FleetPort,
        hub: ObservationHub,
        suite: GateSuite,
        settings: Settings,
    ) -> None:
        """`suite` makes load on demand."""
        self._database = database
        self._fleet = fleet
        self._hub = hub
        self._suite = suite
        self._limit_bytes = settings.limits.memory_bytes

    async def look(self, case: Case, now: datetime) -> Look | Breach:
        """Judge what was seen up to now; `case` gets the new evidence, mark and numbers.

        Raises:
            UnavailableError: a part of the platform is away; try again.
        """
        sides = await self._sides(case)
        evidence = _window(case, now)
        await self._collect(case, evidence, sides)
        case.evidence = evidence.to_json()
        if broken := await self._broken_instance(case, sides):
            return broken
        if _wants_load(case):
            await self._add_load(case, evidence)
            case.evidence = evidence.to_json()
        judgement = judge(
            evidence,
            case.policy,
            _rules(case),
            weight_permille=case.state.weight_permille,
            uncompared=case.uncompared,
            copy_cost=evidence.copy_cost if case.state.phase is Phase.WATCH else 0.0,
        )
        case.numbers = judgement.numbers
        return judgement.verdict

    async def _sides(self, case: Case) -> _Sides:
        shadow = {case.shadow_instance} if case.shadow_instance else set()
        canary = {case.canary_instance} if case.canary_instance else set()
        if case.state.phase is Phase.WATCH:
            await self._check_comparison(case)
            return _Sides(await self._stable(case, case.candidate), shadow)
        own = shadow if case.state.phase is Phase.SHADOW else canary
        return _Sides(own, await self._stable(case, case.baseline))

    async def _stable(self, case: Case, variant: str) -> set[str]:
        async with self._database.unit_of_work() as session:
            return set(await repository.stable_instances(session, case.lineage, variant))

    async def _check_comparison(self, case: Case) -> None:
        """Note when the copy of the former variant is gone: what it did is of another time."""
        if case.uncompared:
            return
        async with self._database.unit_of_work() as session:
            row = await repository.fetch_instance(session, case.shadow_instance or "")
        if row is None or not row.wanted:
            case.uncompared = "the copy of the former variant is gone"

    async def _collect(self, case: Case, evidence: Evidence, sides: _Sides) -> None:
        subscription = self._hub.subscribe(case.rollout_id)
        subscription.instances = sides.candidate | sides.baseline
        batch = await subscription.take()
        copies = sides.baseline if case.state.phase is Phase.WATCH else set()
        attempts = (a for a in batch.attempts if not _lacks_original(a, copies))
        evidence.take(attempts, sides.candidate, sides.baseline)
        case.mark = batch.mark

    async def _broken_instance(self, case: Case, sides: _Sides) -> Breach | None:
        if not sides.candidate:
            return Breach(Reason.NOT_READY, "the variant has no instance any more")
        for instance_id in sorted(sides.candidate):
            if breach := await self._broken(case, instance_id):
                return breach
        return None

    async def _broken(self, case: Case, instance_id: str) -> Breach | None:
        async with self._database.unit_of_work() as session:
            row = await repository.fetch_instance(session, instance_id)
        if row is None or not row.wanted:
            why = row.detail if row is not None and row.detail else "it ended"
            return Breach(Reason.NOT_READY, f"instance {instance_id} is gone: {why}")
        try:
            usage = await self._fleet.usage(instance_id)
        except NotFoundError:
            return Breach(Reason.NOT_READY, f"instance {instance_id} is gone")
        problem = check_usage(usage, self._limit_bytes, case.policy.max_memory_ratio)
        if problem is None:
            return None
        reason = Reason.OUT_OF_MEMORY if usage.oom_kills else Reason.MEMORY
        return Breach(reason, f"instance {instance_id} {problem}")

    async def _add_load(self, case: Case, evidence: Evidence) -> None:
        missing = max(case.policy.shadow.min_requests - evidence.candidate.trials, 1)
        rules = LoadRules(
            rate_rps=DEMAND_RPS,
            concurrency=4,
            window_s=DEMAND_WINDOW_S,
            rounds=max(2, math.ceil(missing / (DEMAND_RPS * DEMAND_WINDOW_S))),
        )
        try:
            load = await self._suite.bench_traffic(case, rules)
        except (LoadError, NotReadyError, BuildError, ForbiddenError) as error:
            case.numbers = {**case.numbers, "load_on_demand": str(error)}
            return
        evidence.take(load.attempts, {load.candidate}, {load.baseline})


def _lacks_original(attempt: Attempt, copies: set[str]) -> bool:
    """Whether a copy was refused because the candidate never opened the original's turn."""
    return attempt.instance_id in copies and attempt.status == NO_ORIGINAL


def _rules(case: Case) -> TrafficRules:
    match case.state.phase:
        case Phase.SHADOW:
            return case.policy.shadow
        case Phase.WATCH:
            return case.policy.watch
        case _:
            return case.policy.canary


def _window(case: Case, now: datetime) -> Evidence:
    """The evidence of the state's window: what there is, or a new one that begins now."""
    phase = Phase.CANARY if case.state.phase is Phase.AWAITING_APPROVAL else case.state.phase
    name = f"{phase}:{case.state.step}" if phase is Phase.CANARY else str(phase)
    if case.evidence is None:
        return Evidence(name, now)
    known = Evidence.from_json(case.evidence)
    return known if known.window == name else known.next_window(name, now)


def _wants_load(case: Case) -> bool:
    return (
        case.state.phase is Phase.SHADOW
        and case.state.hold is Hold.INSUFFICIENT_DATA
        and case.policy.shadow.load_on_demand
    )
