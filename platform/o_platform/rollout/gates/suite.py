"""The background gates of one rollout: static, build, contract and load, on the real parts.

Bench instances are started for one gate and gone after it. One that cannot be retired at that
moment is left to the end of the rollout, which frees everything it started.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from o_agent.behaviour import FILE as SUITE_FILE
from o_agent.behaviour import parse_cases
from o_platform.db.engine import Database
from o_platform.errors import BuildError, ForbiddenError, NotReadyError, UnavailableError
from o_platform.images.genome import Genome
from o_platform.images.repository import fetch_genome, fetch_origin
from o_platform.rollout.case import Case
from o_platform.rollout.gates.contract import check_contract, check_usage
from o_platform.rollout.gates.conversation import ContractError
from o_platform.rollout.gates.load import LoadError, LocustCounts, Sample, judge_load, run_locust
from o_platform.rollout.gates.load_plan import LoadPlan
from o_platform.rollout.gates.static import StaticReport, inspect
from o_platform.rollout.machine import GateFailed, GatePassed, GateUndecided
from o_platform.rollout.observations import ObservationHub
from o_platform.rollout.policy import LoadRules
from o_platform.rollout.ports import Attempt, FleetPort, InstanceInfo, TrafficPort
from o_platform.rollout.states import Gate, Reason
from o_platform.runtimes.protocol import InstanceSpec
from o_platform.settings import Settings

_LOGGER = logging.getLogger(__name__)
_SHOWN_FINDINGS = 5

GateResult = GatePassed | GateFailed | GateUndecided


@dataclass(frozen=True, slots=True)
class GateReport:
    """What a gate found, and its numbers (JSON-ready)."""

    result: GateResult
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BenchTraffic:
    """A finished load on a pair of bench instances."""

    attempts: Sequence[Attempt]
    candidate: str
    baseline: str
    counts: LocustCounts
    usage_problem: str | None


class GateSuite:
    """Runs background gates; everything it starts ends with the gate."""

    def __init__(
        self,
        database: Database,
        fleet: FleetPort,
        traffic: TrafficPort,
        hub: ObservationHub,
        settings: Settings,
    ) -> None:
        """Nothing starts before `run`."""
        self._database = database
        self._fleet = fleet
        self._traffic = traffic
        self._hub = hub
        self._settings = settings

    async def run(self, gate: Gate, case: Case) -> GateReport:
        """Run one of the background gates.

        Raises:
            UnavailableError, TrafficError: a part of the platform is away; try again.
            ValueError: not a background gate.
        """
        match gate:
            case Gate.STATIC:
                return await self._static(case)
            case Gate.BUILD:
                return await self._build(case)
            case Gate.CONTRACT:
                return await self._contract(case)
            case Gate.LOAD:
                return await self._load(case)
            case _:
                raise ValueError(f"{gate} is judged by live traffic")

    async def bench_traffic(self, case: Case, rules: LoadRules) -> BenchTraffic:
        """Load a fresh pair of bench instances by `rules`.

        Raises:
            NotReadyError, BuildError, ForbiddenError: an instance could not be started.
            LoadError: locust failed.
        """
        async with AsyncExitStack() as stack:
            candidate = await stack.enter_async_context(self._bench(case, case.candidate))
            baseline = await stack.enter_async_context(self._bench(case, case.baseline))
            await self._traffic.apply()
            ids = {candidate.id, baseline.id}
            subscription = self._hub.subscribe(f"{case.rollout_id}/bench")
            subscription.instances = ids
            stack.callback(self._hub.unsubscribe, f"{case.rollout_id}/bench")
            await subscription.take()
            socket = str(self._settings.run / "internal.sock")
            counts = await run_locust(LoadPlan.of(rules, socket, candidate.id, baseline.id))
            batch = await subscription.take()
            problem = await self._usage_problem(case, candidate)
        return BenchTraffic(batch.attempts, candidate.id, baseline.id, counts, problem)

    async def _static(self, case: Case) -> GateReport:
        candidate, baseline = await self._genomes(case)
        report = inspect(candidate.files, baseline.files, case.policy.static)
        numbers = {
            "objections": [str(finding) for finding in report.objections],
            "notes": [str(finding) for finding in report.notes],
            "risk": report.risk,
        }
        return GateReport(_static_result(report), numbers)

    async def _build(self, case: Case) -> GateReport:
        async with self._database.unit_of_work() as session:
            genome = await fetch_genome(session, case.candidate)
            origin = await fetch_origin(session, case.candidate)
        spec = InstanceSpec(
            id="0" * 12,
            genome=genome,
            role="bench",
            limits=self._settings.limits,
            origin=origin,
        )
        try:
            image = await self._fleet.runtime.prepare(spec)
        except (BuildError, ForbiddenError) as error:
            return GateReport(GateFailed(Gate.BUILD, Reason.BUILD_FAILED, error.message))
        if image is None:
            return GateReport(GatePassed(Gate.BUILD, "nothing to build in this runtime"))
        how = "image reused" if image.reused else f"image built in {image.build_s:.1f} s"
        return GateReport(GatePassed(Gate.BUILD, how), {"image": image.image_id})

    async def _contract(self, case: Case) -> GateReport:
        candidate, baseline = await self._genomes(case)
        suites = [parse_cases(g.files.get(SUITE_FILE, b"")) for g in (baseline, candidate)]
        try:
            async with self._bench(case, case.candidate) as instance:
                checked = await check_contract(instance, *suites)
                problem = await self._usage_problem(case, instance)
        except ContractError as error:
            return GateReport(GateFailed(Gate.CONTRACT, Reason.CONTRACT_BROKEN, str(error)))
        except (NotReadyError, BuildError, ForbiddenError) as error:
            return GateReport(GateFailed(Gate.CONTRACT, Reason.NOT_READY, error.message))
        if problem is not None:
            return GateReport(GateFailed(Gate.CONTRACT, Reason.MEMORY, problem))
        return GateReport(GatePassed(Gate.CONTRACT, checked))

    async def _load(self, case: Case) -> GateReport:
        rules = case.policy.load
        try:
            traffic = await self.bench_traffic(case, rules)
        except (NotReadyError, BuildError, ForbiddenError) as error:
            return GateReport(GateFailed(Gate.LOAD, Reason.NOT_READY, error.message))
        except LoadError as error:
            return GateReport(GateUndecided(Gate.LOAD, str(error)))
        report = judge_load(
            Sample.of(traffic.attempts, traffic.candidate),
            Sample.of(traffic.attempts, traffic.baseline),
            traffic.counts,
            rules,
            case.policy.max_crashes,
        )
        if traffic.usage_problem is not None and not isinstance(report.verdict, GateFailed):
            failed = GateFailed(Gate.LOAD, Reason.MEMORY, traffic.usage_problem)
            return GateReport(failed, report.numbers)
        return GateReport(report.verdict, report.numbers)

    @asynccontextmanager
    async def _bench(self, case: Case, variant: str) -> AsyncIterator[InstanceInfo]:
        instance = await self._fleet.ensure(
            case.lineage, variant, "bench", case.rollout_id, fresh=True
        )
        try:
            yield instance
        finally:
            try:
                await self._fleet.retire(instance.id)
            except UnavailableError as error:
                _LOGGER.warning("bench instance %s stays for now: %s", instance.id, error.message)

    async def _usage_problem(self, case: Case, instance: InstanceInfo) -> str | None:
        usage = await self._fleet.usage(instance.id)
        limit = self._settings.limits.memory_bytes
        return check_usage(usage, limit, case.policy.max_memory_ratio)

    async def _genomes(self, case: Case) -> tuple[Genome, Genome]:
        async with self._database.unit_of_work() as session:
            return (
                await fetch_genome(session, case.candidate),
                await fetch_genome(session, case.baseline),
            )


def _static_result(report: StaticReport) -> GateResult:
    if report.objections:
        shown = "; ".join(map(str, report.objections[:_SHOWN_FINDINGS]))
        more = len(report.objections) - _SHOWN_FINDINGS
        said = f"{shown}{f'; and {more} more' if more > 0 else ''}"
        return GateFailed(Gate.STATIC, Reason.STATIC_FINDINGS, said)
    said = f"nothing objectionable; risk class `{report.risk}`"
    if report.notes:
        said += f"; {len(report.notes)} findings in code are reported only, by policy"
    return GatePassed(Gate.STATIC, said, report.risk)
