"""The load gate on real parts: locust, Envoy's internal listener and log, instances on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from o_platform.rollout.gates.load import LoadReport, Sample, judge_load, run_locust
from o_platform.rollout.gates.load_plan import LoadPlan
from o_platform.rollout.machine import GateFailed, GatePassed
from o_platform.rollout.policy import LoadRules
from o_platform.rollout.states import Reason
from o_platform.settings import Settings
from o_platform.testing import require
from o_platform.testing.envoy import Backend, EnvoyProcess, SeenRequest, free_port, running
from o_platform.traffic.delivery import Delivery
from o_platform.traffic.keys import Signer
from o_platform.traffic.render import render
from o_platform.traffic.snapshot import Endpoint, Listener, Snapshot
from o_platform.traffic.upstream_log import UpstreamLog

pytestmark = pytest.mark.integration

RULES = LoadRules(rate_rps=80, concurrency=4, window_s=0.5, rounds=4, max_p50_ratio=2.0)


class TimedBackend(Backend):
    """Takes its time for each answer, and hangs up on one request in `dies_on_each`."""

    delay_s = 0.005
    dies_on_each = 0

    async def _answer(self, request: SeenRequest, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(self.delay_s)
        if self.dies_on_each and len(self.seen) % self.dies_on_each == 1:
            self.seen.append(request)
            return False
        return await super()._answer(request, writer)


class Bench:
    """Envoy with two bench instances, named `a…` and `b…`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.envoy = EnvoyProcess(settings)
        self.candidate, self.baseline = (self._backend(name * 12) for name in "ab")

    def _backend(self, name: str) -> TimedBackend:
        return TimedBackend(name, self.settings.run / "instances" / name / "in" / "agent.sock")

    async def serve(self) -> None:
        endpoints = [
            Endpoint(b.name, b.name * 5, str(b.path)) for b in (self.candidate, self.baseline)
        ]
        snapshot = Snapshot(
            listener=Listener("127.0.0.1", self.settings.listen_port, False, False),
            paths=self.envoy.paths,
            jwks=Signer(self.settings.home).jwks,
            default_key=1,
            benches=tuple(endpoints),
        )
        await Delivery(self.envoy.paths, self.envoy.admin).deliver(render(snapshot))

    def plan(self, rules: LoadRules) -> LoadPlan:
        socket = str(self.settings.run / "internal.sock")
        return LoadPlan.of(rules, socket, self.candidate.name, self.baseline.name)

    async def test(self, rules: LoadRules = RULES) -> LoadReport:
        log = UpstreamLog(Path(self.envoy.paths.upstream_log), self.envoy.admin)
        counts = await run_locust(self.plan(rules))
        attempts = await log.read_new()
        sides = [Sample.of(attempts, b.name) for b in (self.candidate, self.baseline)]
        return judge_load(sides[0], sides[1], counts, rules, max_deaths=2)


@pytest.fixture
async def bench(short_tmp: Path) -> AsyncIterator[Bench]:
    require("envoy")
    settings = Settings(
        home=short_tmp / "home", run_dir=short_tmp / "run", listen=f"127.0.0.1:{free_port()}"
    )
    bench = Bench(settings)
    await bench.envoy.start()
    try:
        async with running(bench.candidate, bench.baseline):
            await bench.serve()
            yield bench
    finally:
        bench.envoy.stop()


def requests(report: LoadReport, side: str) -> Any:
    return report.numbers[side]["requests"]


async def test_an_equal_variant_passes(bench: Bench) -> None:
    report = await bench.test()
    assert isinstance(report.verdict, GatePassed), report.verdict
    asked = RULES.rate_rps * RULES.seconds / 2
    for side in ("candidate", "baseline"):
        assert requests(report, side) == pytest.approx(asked, rel=0.4)
        assert report.numbers["locust"]["failures"][side] == 0
    assert report.numbers["candidate"]["p50_ms"] == pytest.approx(6, rel=0.5)


async def test_a_three_times_slower_variant_fails(bench: Bench) -> None:
    bench.candidate.delay_s = 3 * bench.baseline.delay_s
    report = await bench.test()
    assert isinstance(report.verdict, GateFailed), report.verdict
    assert report.verdict.reason is Reason.LATENCY
    assert "median latency" in report.verdict.message


async def test_a_variant_that_dies_on_requests_fails_although_envoy_retries(bench: Bench) -> None:
    bench.candidate.dies_on_each = 10
    report = await bench.test()
    assert isinstance(report.verdict, GateFailed), report.verdict
    assert report.verdict.reason is Reason.CRASHES


async def test_a_cancelled_test_leaves_no_locust(bench: Bench) -> None:
    long = RULES.model_copy(update={"rounds": 60})
    before = set(psutil.Process().children())
    test = asyncio.create_task(run_locust(bench.plan(long)))
    async with asyncio.timeout(20):
        while not bench.candidate.seen:  # noqa: ASYNC110 - another process does not tell
            await asyncio.sleep(0.05)
    test.cancel()
    with pytest.raises(asyncio.CancelledError):
        await test
    assert set(psutil.Process().children()) <= before
